"""What the router holds and sends, against what is wanted: ask again, and tell what is odd."""

from collections.abc import Iterable
from typing import Final

from ridgeline.agent.messages import Say
from ridgeline.agent.prefix import PrefixState
from ridgeline.agent.router import Stance, Wanted

RETRY_FIRST_S: Final = 0.1
RETRY_MOST_S: Final = 1.0
ODD_FOR_S: Final = 0.4
"""What the neighbours are sent must differ for so long, over two readings, to be an alert."""


def ask_again(p: PrefixState, now: float) -> None:
    """Send the order again: at once the first time, then later and later."""
    p.due = now
    if p.retries:
        p.due += min(RETRY_FIRST_S * 2 ** (p.retries - 1), RETRY_MOST_S)
    p.retries = min(p.retries + 1, 8)


def compare(p: PrefixState, target: Wanted, now: float, *, is_degraded: bool) -> Say | None:
    """Hold what is wanted against what the router holds; None: nothing is new.

    A router that could not write an order down is asked again although it holds what is wanted.
    """
    if p.held is target.stance:
        if p.confirmed:
            return None
        p.confirmed = True
        if not is_degraded:
            p.due, p.retries = None, 0
        facts = {
            "stance": target.stance.value,
            "neighbours": sorted(p.exported),
            "after_ms": round((now - p.since) * 1000, 1),
        }
        return Say("info", "confirmed", target.reason, p.prefix, facts)
    if p.due is not None:
        return None
    p.confirmed = False
    ask_again(p, now)
    holds = p.held.value if p.held else "in an unknown way"
    reason = f"the router holds it {holds}, wanted is {target.stance.value}: asking again"
    return Say("warning", "not_as_wanted", reason, p.prefix)


def look_outside(p: PrefixState, now: float, *, has_neighbours: bool) -> Iterable[Say]:
    """Say what the neighbours hear that they should not, or do not that they should.

    What a router sends follows what it holds by a moment: only what lasts is told.
    """
    odd: tuple[str, ...] = ()
    if p.held is Stance.WITHDRAWN and p.exported:
        others = ", ".join(sorted(p.exported))
        odd = (f"withdrawn here, but another route for it still goes to {others}",)
    elif p.held is not Stance.WITHDRAWN and not p.exported and has_neighbours:
        odd = ("held by the router, but sent to no neighbour: see `agent check`",)
    if odd != p.odd:
        p.odd, p.odd_at = odd, now
    if p.odd == p.alerts or (odd and now - p.odd_at < ODD_FOR_S):
        return ()
    p.alerts = odd
    return [Say("error", "export_differs", text, p.prefix) for text in odd]
