"""When may the dead-man switch bring routes up? Once the checks have spoken, and the router listened.

What the router holds may be older than the death of a service: an agent that has just started, or
slept, lets nothing out before it has looked. The switch is told once; when it has fallen, again.
"""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from ridgeline.agent.core import Say
from ridgeline.errors import MachineError

FRESH_ROUNDS: Final = 2
"""After so many rounds of each check the last one has begun after the switch went down."""


class Switch(Protocol):
    """A dead-man switch: what makes the routes go when nobody beats it any more."""

    def start(self, on_fall: Callable[[], None]) -> None:
        """Carry on what a predecessor left on purpose, and bring up nothing else.

        `on_fall` is called, from any thread, when it has gone down: it needs a new `vouch`.
        """
        ...

    def beat(self) -> None: ...

    def vouch(self) -> None:
        """Let the routes come up: the router holds nothing that the checks do not want.

        Raises
        ------
        MachineError
            The machine does not allow it.
        """
        ...

    def stop(self, *, leave: bool) -> None:
        """End; with `leave` the routes are to survive a restart of the agent."""
        ...


class Voucher:
    """Watches the rounds of checks, and vouches when the time has come.

    Parameters
    ----------
    look
        Runs a check as soon as may be.
    say
        Takes what goes into the log.
    """

    def __init__(
        self, switch: Switch, *, look: Callable[[str], None], say: Callable[[Say], None]
    ) -> None:
        self.switch = switch
        self.problem = ""
        """Why the switch cannot be closed; empty: it can, or nothing was tried yet."""
        self._look, self._say = look, say
        self._owed: dict[str, int] | None = {}
        """Rounds that checks still owe before we vouch; None: we have."""
        self._is_told = True
        """Whether the log is to hear that the switch is closed."""

    @property
    def waits(self) -> bool:
        """Whether the switch still waits for our word."""
        return self._owed is not None

    def fell(self, checks: Iterable[str], *, is_wanted: bool) -> None:
        """Look at everything again: the agent may have slept, and the services died.

        Where no route is wanted (`is_wanted`), the router itself let go of the switch, and there is
        nothing to look at: the next route is announced by what the checks say then.
        """
        if is_wanted and self._owed is None:
            reason = "the dead-man switch was open: the routes may be gone until the checks pass"
            self._say(Say("warning", "dead_man_open", reason))
        self._is_told |= is_wanted
        self._owed = dict.fromkeys(checks, FRESH_ROUNDS) if is_wanted else {}
        for name in self._owed:
            self._look(name)

    def changed(self, checks: Iterable[str]) -> None:
        """Go on with other checks, after a reload."""
        if self._owed:
            self._owed = dict.fromkeys(checks, FRESH_ROUNDS)

    def seen(self, rounds: Iterable[str], *, is_settled: Callable[[], bool]) -> None:
        """Take the names of checks that ended a round; vouch if nothing stands against it."""
        if self._owed is None:
            return
        for name in rounds:
            if name not in self._owed:
                continue
            self._owed[name] -= 1
            if self._owed[name]:
                self._look(name)
            else:
                del self._owed[name]
        if self._owed or not is_settled():
            return
        try:
            self.switch.vouch()
        except MachineError as error:
            if str(error) != self.problem:
                self.problem = str(error)
                self._say(Say("error", "dead_man_failed", self.problem))
            return
        self._owed, self.problem = None, ""
        if self._is_told:
            self._is_told, reason = False, "the checks have spoken: the routes may go out"
            self._say(Say("info", "dead_man_closed", reason))
