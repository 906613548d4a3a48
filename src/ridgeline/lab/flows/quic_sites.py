"""QUIC at every site of a lab, for as long as sessions are held (see `quic_server`, which speaks it).

No engine that a lab runs speaks QUIC and names its site in the connection IDs, as rescue needs it.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Final

from ridgeline.errors import MachineError
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.plan import NodeKind
from ridgeline.lab.rescue.tables import quic_site_bytes

PORT: Final = 443
ALPN: Final = "echo"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuicPlan:
    """What the process serves until its standard input ends."""

    address: str
    port: int
    certificate: str
    """The chain (PEM)."""
    key: str
    sites: tuple[tuple[int, int], ...]
    """Descriptor of each server's network namespace, and the site's number."""
    site_bytes: int
    """Octets of a connection ID that hold the number."""

    def render(self) -> str:
        """Give the line that the process reads."""
        return json.dumps(asdict(self)) + "\n"


def parse_quic_plan(line: str) -> QuicPlan:
    """Read the line that `QuicPlan.render` gives."""
    fields = json.loads(line)
    return QuicPlan(**{**fields, "sites": tuple((fd, number) for fd, number in fields["sites"])})


@asynccontextmanager
async def quic_sites(fabric: Fabric, address: str) -> AsyncIterator[None]:
    """Answer QUIC on an anycast address at every site, until the block ends.

    Raises
    ------
    MachineError
        aioquic is not installed, or a service uses the port already.
    """
    if find_spec("aioquic") is None:
        raise MachineError(
            "QUIC sessions need aioquic, which is not installed",
            hint="pip install 'ridgeline[quic]'",
        )
    numbers = [node.site for node in fabric.plan.of_kind(NodeKind.EDGE)]
    servers = list(fabric.plan.of_kind(NodeKind.SERVER))
    pair = fabric.certificates.authority.sign([], [ip_address(address)])
    plan = QuicPlan(
        address=address,
        port=PORT,
        certificate=pair.certificate.decode(),
        key=pair.key.decode(),
        sites=tuple((fabric.namespace(n.name).fd, numbers.index(n.site)) for n in servers),
        site_bytes=quic_site_bytes(len(numbers)),
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ridgeline.lab.flows.quic_server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=[fd for fd, _ in plan.sites],
    )
    try:
        if process.stdin is None or process.stdout is None:
            raise MachineError("the process for QUIC has no pipes")
        process.stdin.write(plan.render().encode())
        await process.stdin.drain()
        if not await process.stdout.readline():
            raise MachineError(f"QUIC cannot be answered on {address} port {PORT}")
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
