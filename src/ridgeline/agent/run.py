"""The agent's shell: one event loop that feeds the core and carries out what it says.

::

    Engine (checks) ──┐                                  ┌─> _orders ─> router task: apply, read back
    router task ──────┼─> _post ─> _turn: Core.handle ──>┼─> guard tasks
    control, signals ─┘                                  └─> log, state file

One turn takes all events at hand, so a thousand failures are one order to the router.
"""

import asyncio
import contextlib
import gc
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from ipaddress import ip_network
from math import inf
from typing import Any, Final, Protocol

from ridgeline.agent.checks.engine import Engine
from ridgeline.agent.config import AgentConfig
from ridgeline.agent.control import Servers
from ridgeline.agent.core import (
    Applied,
    Apply,
    AskGuard,
    Checked,
    Command,
    Core,
    Drain,
    DrainAsked,
    Event,
    GuardAnswered,
    Observed,
    OpenSessions,
    ReleaseGuard,
    ResumeAsked,
    RouterFailed,
    SaveState,
    Say,
    ShutSessions,
    Stop,
    Stopping,
    Woken,
)
from ridgeline.agent.health import CheckState, Round
from ridgeline.agent.journal import Log, is_well, render_metrics, status_document
from ridgeline.agent.router import Router, Stance, Wanted
from ridgeline.agent.state import StateDirectory
from ridgeline.agent.systemd import Notifier
from ridgeline.errors import InputError, MachineError, RidgelineError
from ridgeline.spec.model import Prefix

RECONCILE_S: Final = 0.5
"""How often the router is read back when nothing happens."""
ROUTER_WITHIN_S: Final = 5.0
"""How long one order or one reading may take."""
SAVED_WITHIN_S: Final = 2.0
"""How long an operator waits for the disk before the answer says how things are."""
LOG_WITHIN_S: Final = 0.05
"""Log lines wait so long while an order to the router is under way."""
BEAT_S: Final = 0.5
"""How often the dead-man switch hears that the loop is alive; systemd perhaps more often."""
COALESCE_S: Final = 0.0005
FRESH_ROUNDS: Final = 2
"""After so many rounds of each check the last one has begun after the switch went down."""
STALE_S: Final = 5.0
"""After so long without a reading, `/healthz` says no."""


class Guard(Protocol):
    """The fleet guard, as far as the runner needs it."""

    async def ask(self, prefix: Prefix) -> GuardAnswered: ...

    async def release(self, prefix: Prefix) -> None: ...

    async def run(self) -> None: ...


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


MakeRouter = Callable[[AgentConfig], Router]


class Agent:
    """One site's agent.

    Parameters
    ----------
    reload
        Reads the configuration again; raises `InputError` where it is wrong.
    """

    def __init__(
        self,
        config: AgentConfig,
        *,
        make_router: MakeRouter,
        log: Log,
        reload: Callable[[], AgentConfig],
        notifier: Notifier,
        make_guard: Callable[[AgentConfig, Callable[[GuardAnswered], None]], Guard] | None = None,
        switch: Switch | None = None,
    ) -> None:
        self.config = config
        self._make_router = make_router
        self._log = log
        self._reload = reload
        self._notifier = notifier
        self._switch = switch
        self.router = make_router(config)
        self.core = make_core(config)
        self._engine = Engine(config.checks, self._checked)
        self._state = StateDirectory(config.state)
        self._servers = Servers()
        self._events: list[Event] = []
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._orders: dict[Prefix, Wanted] = {}
        self._deeds: list[Callable[[], Awaitable[None]]] = []
        self._unsaid: list[Say] = []
        self._is_applying = False
        """An order is on its way to the router: nothing else is urgent."""
        self._work = asyncio.Event()
        self._work.set()  # the first reading comes at once
        self._done = asyncio.Event()
        self._unsaved, self._saved = asyncio.Event(), asyncio.Event()
        self._saved.set()
        self._writing = threading.Lock()
        self._reloading = asyncio.Lock()
        self._unseen: dict[str, int] | None = {}
        """Rounds that checks still owe before the switch may come up; None: it may already."""
        self._switch_problem = ""
        self._read_at = float("-inf")
        self._started = time.monotonic()
        self._group: asyncio.TaskGroup | None = None
        self._guard: Guard | None = (
            make_guard(config, self._post) if make_guard is not None and config.fleet else None
        )

    async def run(self) -> None:
        """Run until told to end.

        Raises
        ------
        MachineError
            The state directory or a socket cannot be used.
        """
        self._state.claim()
        try:
            saved = self._state.read(wall=time.time())
            if self.config.spec_drained:
                # As a last resort it stays announced, and takes who has nowhere else to go.
                self._post(DrainAsked("the spec says `state: drained`", hold=inf))
            for drain in saved.drains:
                self._post(drain)
            await self._servers.control(self.config.control, self._answer)
            if self.config.metrics:
                pages = {"/metrics": self._metrics, "/healthz": self._health}
                await self._servers.pages(self.config.metrics, pages)
            self._catch_signals()
            await self._serve()
        finally:
            await self._servers.close()
            self._engine.stop()
            self._say_rest()
            await self.router.close()
            self._state.release()

    async def _serve(self) -> None:
        if self._switch is not None:
            loop = asyncio.get_running_loop()

            def on_fall() -> None:
                loop.call_soon_threadsafe(self._switch_fell)

            self._switch.start(on_fall)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                tasks = [
                    group.create_task(self._tend_router()),
                    group.create_task(self._watchdog()),
                    group.create_task(self._keep_state()),
                ]
                if self._guard is not None:
                    tasks.append(group.create_task(self._guard.run()))
                self._engine.start()
                # What lives now lives on: the collector need not walk it while the site fails.
                gc.collect()
                gc.freeze()
                gc.set_threshold(50_000, 20, 20)
                self._notifier.send(READY="1", STATUS=f"site {self.config.site}")
                await self._done.wait()
                self._notifier.send(STOPPING="1")
                for task in tasks:
                    task.cancel()
        finally:
            if self._switch is not None:
                self._switch.stop(leave=self.config.on_stop == "leave")
            if not self._saved.is_set():
                self._complain(self._write_state(self._drains()))

    # Events in, commands out.

    def _post(self, event: Event) -> None:
        self._events.append(event)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _checked(self, name: str, outcome: Round) -> None:
        self._post(Checked(name, outcome))

    def _turn(self) -> None:
        self._is_due = False
        events, self._events = self._events, []
        loop = asyncio.get_running_loop()
        for command in self.core.handle(*events, now=loop.time()):
            self._do(command)
        for event in events:
            if isinstance(event, Checked) and not event.outcome.ok:
                state = self.core.checks.get(event.check)
                if state is not None and state.is_doubtful:
                    self._engine.again(event.check)
        self._arm()
        if self._switch is not None and self._unseen is not None:
            self._try_vouching(self._switch, self._unseen, events)

    def _switch_fell(self) -> None:
        """Look at everything again before the switch comes up: the agent may have slept."""
        if self._unseen is None:
            reason = "the dead-man switch was open: the routes may be gone until the checks pass"
            self._say(Say("warning", "dead_man_open", reason))
        self._unseen = {plan.name: FRESH_ROUNDS for plan in self.config.checks}
        for name in self._unseen:
            self._engine.again(name)

    def _try_vouching(self, switch: Switch, unseen: dict[str, int], events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Checked) and event.check in unseen:
                unseen[event.check] -= 1
                if unseen[event.check]:
                    self._engine.again(event.check)
                else:
                    del unseen[event.check]
        if unseen or not self.core.is_settled:
            return
        try:
            switch.vouch()
        except MachineError as error:
            if str(error) != self._switch_problem:
                self._switch_problem = str(error)
                self._say(Say("error", "dead_man_failed", self._switch_problem))
            return
        self._unseen, self._switch_problem = None, ""
        self._say(Say("info", "dead_man_closed", "the checks have spoken: the routes may go out"))

    def _arm(self) -> None:
        """Set the timer to when the core wants to be woken."""
        wake = self.core.wake_at
        if self._timer is not None:
            if self._timer.when() == wake and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if wake is not None:
            self._timer = asyncio.get_running_loop().call_at(wake, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._post(Woken())

    def _do(self, command: Command) -> None:
        match command:
            case Apply(wanted=wanted):
                self._orders.update(wanted)
                self._is_applying = True
                self._work.set()
            case Say():
                self._say(command)
            case SaveState():
                self._saved.clear()
                self._unsaved.set()
            case AskGuard(prefix=prefix):
                self._spawn(self._ask_guard(prefix))
            case ReleaseGuard(prefix=prefix):
                if self._guard is not None:
                    self._spawn(self._guard.release(prefix))
            case ShutSessions(reason=reason):
                self._deeds.append(lambda: self._shut(reason))
                self._work.set()
            case OpenSessions():
                self._deeds.append(self.router.open_sessions)
                self._work.set()
            case Stop(reason=reason):
                self._log(Say("info", "stopped", reason))
                self._done.set()

    def _say(self, say: Say) -> None:
        """Log at once, or after the router has its orders: a thousand lines take their time."""
        if not self._is_applying and not self._unsaid:
            self._log(say)
            return
        if not self._unsaid:
            asyncio.get_running_loop().call_later(LOG_WITHIN_S, self._say_rest)
        self._unsaid.append(say)

    def _say_rest(self) -> None:
        if self._is_applying and not self._done.is_set():
            asyncio.get_running_loop().call_later(LOG_WITHIN_S, self._say_rest)
            return
        unsaid, self._unsaid = self._unsaid, []
        for say in unsaid:
            self._log(say)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None:
            work.close()
        else:
            self._group.create_task(work)

    async def _ask_guard(self, prefix: Prefix) -> None:
        if self._guard is None:
            self._post(GuardAnswered(prefix, granted=False, reason="there is no fleet guard"))
            return
        self._post(await self._guard.ask(prefix))

    async def _shut(self, reason: str) -> None:
        if not await self.router.shut_sessions(reason):
            self._log(Say("info", "sessions_stay", "this router cannot say a reason (RFC 9003)"))

    def _drains(self) -> list[tuple[Prefix, Drain]]:
        """List the drains to keep; not those that the spec asks for, which it will again."""
        states = self.core.prefixes.values()
        return [(p.prefix, p.drain) for p in states if p.drain is not None and p.drain.hold != inf]

    def _write_state(self, drains: list[tuple[Prefix, Drain]]) -> str:
        with self._writing:
            return self._state.write(drains, now=time.monotonic(), wall=time.time())

    def _complain(self, complaint: str) -> None:
        if complaint:
            self._log(Say("error", "state_not_saved", complaint))

    # Tasks.

    async def _tend_router(self) -> None:
        """Give orders as they come, and read back after each and every half second."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_S):
                    await self._work.wait()
            self._work.clear()
            await self._until_all_is_ordered()
            orders, self._orders = self._orders, {}
            deeds, self._deeds = self._deeds, []
            try:
                async with asyncio.timeout(ROUTER_WITHIN_S):
                    if orders:
                        self._post(Applied(orders, await self.router.apply(orders)))
                    self._is_applying = bool(self._orders)
                    for deed in deeds:
                        await deed()
                    observation = await self.router.read_back()
                self._read_at = loop.time()
                self._post(Observed(observation))
            except MachineError as error:
                self._is_applying = False
                self._post(RouterFailed(str(error)))
            except TimeoutError:
                self._is_applying = False
                reason = f"the router does not answer within {ROUTER_WITHIN_S:g} s"
                self._post(RouterFailed(reason))

    async def _keep_state(self) -> None:
        """Write down what changed, beside the loop: a slow disk must not hold it up."""
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            self._complain(await asyncio.to_thread(self._write_state, self._drains()))
            if not self._unsaved.is_set():
                self._saved.set()

    async def _until_all_is_ordered(self) -> None:
        """Let what fails in the same moment become one order; half a millisecond for one."""
        known = 0
        while len(self._orders) > known:
            known = len(self._orders)
            await asyncio.sleep(COALESCE_S)

    async def _watchdog(self) -> None:
        """Say that the loop is alive: to systemd, and to the dead-man switch."""
        pause = min(BEAT_S, self._notifier.pause)
        while True:
            self._notifier.send(WATCHDOG="1")
            if self._switch is not None:
                self._switch.beat()
            await asyncio.sleep(pause)

    # Signals.

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_end)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_reload)

    def _told_to_end(self) -> None:
        self._post(Stopping(drain=self.config.on_stop == "drain"))

    def _told_to_reload(self) -> None:
        self._spawn(self._reload_files())

    async def _reload_files(self) -> None:
        """Read the files beside the loop: a large spec takes longer than the watchdog waits."""
        async with self._reloading:
            self._notifier.reloading()
            try:
                await self._adopt(await asyncio.to_thread(self._reload))
            except RidgelineError as error:
                self._log(Say("error", "reload_refused", f"nothing was changed: {error}"))
            self._notifier.send(READY="1")

    async def _adopt(self, config: AgentConfig) -> None:
        """Go on with another configuration, and let go of prefixes that are not in it."""
        core = make_core(config)
        core.adopt(self.core)
        gone = [p for p in self.core.prefixes if p not in core.prefixes]
        old, old_router, old_engine = self.config, self.router, self._engine
        self.config, self.core = config, core
        self._engine = Engine(config.checks, self._checked)
        old_engine.stop()
        self._engine.start()
        if self._unseen:
            self._unseen = {plan.name: FRESH_ROUNDS for plan in config.checks}
        if gone or config.router != old.router or config.prefixes != old.prefixes:
            self.router = self._make_router(config)
            with contextlib.suppress(MachineError):
                if gone:
                    reason = "the site does not announce it any more"
                    await old_router.apply({p: Wanted(Stance.WITHDRAWN, 0, reason) for p in gone})
            await old_router.close()
        for name in ("state", "control", "metrics", "fleet", "dead_man"):
            if getattr(old, name) != getattr(config, name):
                reason = f"`{name}` changed; it takes effect at the next start"
                self._log(Say("warning", "restart_needed", reason))
        self._post(Woken())
        self._log(Say("info", "reloaded", f"{len(config.checks)} checks"))

    # The operator.

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["verb"]:
            case "status":
                return self.status()
            case "drain":
                until = request.get("for_s")
                prefixes = self._prefixes(request.get("prefixes", []))
                reason = str(request.get("reason") or "maintenance")
                self._post(DrainAsked(reason, prefixes, until, request.get("hold")))
            case "resume":
                self._post(ResumeAsked(self._prefixes(request.get("prefixes", []))))
            case other:
                raise InputError(f"the agent knows no request {other!r}")
        await asyncio.sleep(0)  # the turn that takes it comes first
        await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SAVED_WITHIN_S):
                await self._saved.wait()
        return self.status()

    def _prefixes(self, texts: list[str]) -> tuple[Prefix, ...]:
        found = tuple(ip_network(text) for text in texts)
        for prefix in found:
            if prefix not in self.core.prefixes:
                known = ", ".join(map(str, self.core.prefixes))
                raise InputError(f"{prefix} is not announced here; this site has {known}")
        return found

    def status(self) -> dict[str, Any]:
        """Describe the agent, as `ridgeline agent status --json` prints it."""
        document = status_document(
            self.core,
            site=self.config.site,
            network=self.config.network,
            now=asyncio.get_running_loop().time(),
        )
        document["up_s"] = round(time.monotonic() - self._started, 1)
        document["rounds"] = self._engine.rounds
        document["dead_man"] = {
            "kind": self.config.dead_man.kind,
            "waits": self._switch is not None and self._unseen is not None,
            "problem": self._switch_problem or None,
        }
        return document

    def _metrics(self) -> tuple[int, str, str]:
        text = render_metrics(
            self.core,
            site=self.config.site,
            rounds=self._engine.rounds,
            failures=self._engine.failures,
            up_s=time.monotonic() - self._started,
        )
        return 200, "text/plain; version=0.0.4", text

    def _health(self) -> tuple[int, str, str]:
        """Answer for the agent itself: a withdrawn prefix is its work, not its failure."""
        age = asyncio.get_running_loop().time() - self._read_at
        if age > STALE_S or self.core.router_problem:
            problem = self.core.router_problem or f"the router was last read {age:.0f} s ago"
            return 503, "text/plain", f"not well: {problem}\n"
        return 200, "text/plain", "well\n" if is_well(self.core) else "working; see agent status\n"


def make_core(config: AgentConfig) -> Core:
    """Make the core of a configuration."""
    checks = {plan.name: CheckState(rise=plan.rise, fall=plan.fall) for plan in config.checks}
    return Core(config.rules, checks, config.policy)
