"""stub until prober lands"""
from dataclasses import dataclass
@dataclass
class Measured:
    event: str
    site: str
    how: str
async def client_catchments(fabric, *, ipv6=False):
    return {n.name: {} for n in fabric.plan.clients}
async def measure(*a, **k): raise NotImplementedError
