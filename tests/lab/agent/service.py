"""A name server that answers every query with one record, on all the addresses it is given.

Usage: agent_service.py READY-FILE ADDRESS...
"""

import selectors
import socket
import sys

ready, *addresses = sys.argv[1:]
selector = selectors.DefaultSelector()
for address in addresses:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.bind((address, 53))
    selector.register(opened, selectors.EVENT_READ)
with open(ready, "w"):  # noqa: PTH123 - pathlib takes 20 ms to import
    pass
while True:
    for key, _ in selector.select():
        server = key.fileobj
        assert isinstance(server, socket.socket)
        query, client = server.recvfrom(2048)
        end = query.index(0, 12) + 5
        # An authoritative answer to the question, with an A record, and no EDNS.
        head = query[:2] + b"\x84\0\0\1\0\1\0\0\0\0"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\xc0\0\2\1"
        server.sendto(head + query[12:end] + record, client)
