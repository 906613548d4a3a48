"""An order that the router took, and could not write down, is given again until it is whole."""

from ipaddress import ip_network
from itertools import pairwise

from ridgeline.agent.core import Applied, Apply, Checked, Core, Observed, Policy, Woken
from ridgeline.agent.health import CheckState, Round, all_of
from ridgeline.agent.router import Observation, Stance

P = ip_network("192.0.2.0/24")
UNWRITTEN = ("the include cannot be written (no space left on device)",)


def seen(stance: Stance) -> Observed:
    return Observed(Observation(held={P: stance}, exported={}, neighbours=()))


def test_an_order_that_could_not_be_written_is_repeated_until_it_is() -> None:
    core = Core({P: all_of("dns")}, {"dns": CheckState(rise=1, fall=1)}, Policy())
    core.handle(seen(Stance.ANNOUNCED), now=0.0)
    dead = Checked("dns", Round(ok=False, reason="dead"))
    (order,) = [c for c in core.handle(dead, now=1.0) if isinstance(c, Apply)]
    core.handle(Applied(order.wanted, UNWRITTEN), now=1.0)
    core.handle(seen(Stance.WITHDRAWN), now=1.0)  # at the neighbours all is well
    assert core.prefixes[P].confirmed
    times: list[float] = []
    while core.wake_at is not None and len(times) < 20:
        now = core.wake_at
        orders = [c for c in core.handle(Woken(), now=now) if isinstance(c, Apply)]
        for again in orders:
            times.append(now)
            assert again.wanted[P].stance is Stance.WITHDRAWN
            core.handle(Applied(again.wanted, UNWRITTEN if len(times) < 9 else ()), now=now)
            core.handle(seen(Stance.WITHDRAWN), now=now)
            assert core.prefixes[P].confirmed
    assert len(times) == 9
    assert times[0] <= 1.2
    assert max(b - a for a, b in pairwise(times)) <= 1.0
    assert core.degraded == ()
