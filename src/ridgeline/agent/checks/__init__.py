"""Checks of the local instance: never of the anycast address as the network routes it.

Every socket is bound to the service's own address before it sends. The kernel lets an address be
a source only while it is on this machine, and a packet from an own address to the same own address
never leaves it: so a check whose address has gone fails, instead of asking another site.
"""
