"""The agent's shell: one event loop that feeds the core and carries out what it says.

::

    Engine (checks) ──┐                                  ┌─> Tender: apply, read back
    Tender (router) ──┼─> _post ─> _turn: Core.handle ──>┼─> guard tasks
    control, signals ─┘                                  ├─> Voucher: the dead-man switch
                                                         └─> log, Saver: state file

One turn takes all events at hand, so a thousand failures are one order to the router.
"""

import asyncio
import gc
import math
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

from ridgeline.agent.checks.engine import Engine
from ridgeline.agent.config import AgentConfig
from ridgeline.agent.control import Servers
from ridgeline.agent.core import (
    Apply,
    AskGuard,
    Checked,
    Command,
    Core,
    DrainAsked,
    Event,
    GuardAnswered,
    OpenSessions,
    ReleaseGuard,
    ResumeAsked,
    SaveState,
    Say,
    ShutSessions,
    Stop,
    Stopping,
    Woken,
)
from ridgeline.agent.health import CheckState, Round
from ridgeline.agent.journal import Log, is_well, render_metrics, status_document
from ridgeline.agent.requests import read_request
from ridgeline.agent.router import Router, Stance, Wanted
from ridgeline.agent.saving import Drains, Saver
from ridgeline.agent.slots import Guard, Slots
from ridgeline.agent.state import StateDirectory
from ridgeline.agent.systemd import Notifier
from ridgeline.agent.tender import Tender
from ridgeline.agent.vouching import Switch, Voucher
from ridgeline.errors import MachineError, RidgelineError
from ridgeline.spec.model import Prefix

LOG_WITHIN_S: Final = 0.05
"""Log lines wait so long while an order to the router is under way."""
BEAT_S: Final = 0.5
"""How often the dead-man switch hears that the loop is alive; systemd perhaps more often."""
STALE_S: Final = 5.0
"""After so long without a reading, `/healthz` says no."""
_BY_SPEC: Final = "the spec says `state: drained`"


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
        self.core = make_core(config)
        self._tender = Tender(make_router(config), post=self._post, say=self._say)
        self._engine = Engine(config.checks, self._checked)
        self._state = StateDirectory(config.state)
        self._saver = Saver(
            self._state,
            drains=self._drains,
            complain=lambda text: self._say(Say("error", "state_not_saved", text)),
        )
        self._voucher = None if switch is None else Voucher(switch, look=self._look, say=self._say)
        self._servers = Servers()
        self._events: list[Event] = []
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._unsaid: list[Say] = []
        self._done = asyncio.Event()
        self._broken: Exception | None = None
        """What ended the agent that should not have."""
        self._reloading = asyncio.Lock()
        self._started = time.monotonic()
        self._group: asyncio.TaskGroup | None = None
        guard = make_guard(config, self._post) if make_guard is not None and config.fleet else None
        self._slots = Slots(guard, post=self._post, say=self._say)

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
                self._post(DrainAsked(_BY_SPEC, hold=math.inf))
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
            await self._tender.close()
            self._state.release()
        if self._broken is not None:
            raise self._broken

    async def _serve(self) -> None:
        # Nothing else runs while the collector does; so not when the switch must speak already.
        gc.collect()
        if self._voucher is not None:
            loop = asyncio.get_running_loop()

            def on_fall() -> None:
                loop.call_soon_threadsafe(self._switch_fell)

            self._voucher.switch.start(on_fall)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                tasks = [
                    group.create_task(work)
                    for work in (
                        self._tender.run(),
                        self._slots.run(),
                        self._saver.run(),
                        self._watchdog(),
                    )
                ]
                self._engine.start()
                await asyncio.to_thread(int)  # a thread at hand, should there be no memory for one
                # What lives now lives on: the collector need not walk it while the site fails.
                gc.freeze()
                gc.set_threshold(50_000, 20, 20)
                self._notifier.send(READY="1", STATUS=f"site {self.config.site}")
                await self._done.wait()
                self._notifier.send(STOPPING="1")
                for task in tasks:
                    task.cancel()
        finally:
            if self._voucher is not None:
                self._voucher.switch.stop(leave=self.config.on_stop == "leave")
            self._saver.finish()

    # Events in, commands out.

    def _post(self, event: Event) -> None:
        self._events.append(event)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _checked(self, name: str, outcome: Round) -> None:
        self._post(Checked(name, outcome))

    def _turn(self) -> None:
        try:
            self._take_turn()
        except Exception as error:  # noqa: BLE001 - an agent that decides no more must not look alive
            self._broken = error
            self._done.set()

    def _take_turn(self) -> None:
        self._is_due = False
        events, self._events = self._events, []
        loop = asyncio.get_running_loop()
        for command in self.core.handle(*events, now=loop.time()):
            self._do(command)
        rounds = [event for event in events if isinstance(event, Checked)]
        for event in rounds:
            if not event.outcome.ok:
                state = self.core.checks.get(event.check)
                if state is not None and state.is_doubtful:
                    self._engine.again(event.check)
        self._arm()
        if self._voucher is not None:
            names = [event.check for event in rounds]
            self._voucher.seen(names, is_settled=lambda: self.core.is_settled)

    def _look(self, check: str) -> None:
        """Run a check as soon as may be."""
        self._engine.again(check)

    def _switch_fell(self) -> None:
        if self._voucher is not None:
            targets = [p.target for p in self.core.prefixes.values()]
            is_wanted = any(t is None or t.stance is not Stance.WITHDRAWN for t in targets)
            names = [plan.name for plan in self.config.checks]
            self._voucher.fell(names, is_wanted=is_wanted)

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
                self._tender.order(wanted)
            case Say():
                self._say(command)
            case SaveState():
                self._saver.changed()
            case AskGuard(prefix=prefix):
                self._spawn(self._slots.ask(prefix))
            case ReleaseGuard(prefix=prefix):
                self._spawn(self._slots.release(prefix))
            case ShutSessions(reason=reason):
                self._tender.do(lambda router: self._shut(router, reason))
            case OpenSessions():
                self._tender.do(lambda router: router.open_sessions())
            case Stop(reason=reason):
                self._log(Say("info", "stopped", reason))
                self._done.set()

    def _say(self, say: Say) -> None:
        """Log at once, or after the router has its orders: a thousand lines take their time."""
        if not self._tender.is_applying and not self._unsaid:
            self._log(say)
            return
        if not self._unsaid:
            asyncio.get_running_loop().call_later(LOG_WITHIN_S, self._say_rest)
        self._unsaid.append(say)

    def _say_rest(self) -> None:
        if self._tender.is_applying and not self._done.is_set():
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

    async def _shut(self, router: Router, reason: str) -> None:
        if not await router.shut_sessions(reason):
            self._say(Say("info", "sessions_stay", "this router cannot say a reason (RFC 9003)"))

    def _drains(self) -> Drains:
        """List the drains to keep; not those that the spec asks for, which it will again."""
        states = self.core.prefixes.values()
        drains = [(p.prefix, p.drain) for p in states if p.drain is not None]
        return [(prefix, drain) for prefix, drain in drains if drain.hold != math.inf]

    # Signs of life, and signals.

    async def _watchdog(self) -> None:
        """Say that the loop is alive: to systemd, and to the dead-man switch."""
        pause = min(BEAT_S, self._notifier.pause)
        while True:
            self._notifier.send(WATCHDOG="1")
            if self._voucher is not None:
                self._voucher.switch.beat()
            await asyncio.sleep(pause)

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
                self._say(Say("error", "reload_refused", f"nothing was changed: {error}"))
            self._notifier.send(READY="1")

    async def _adopt(self, config: AgentConfig) -> None:
        """Go on with another configuration, and let go of prefixes that are not in it."""
        async with self._tender.turn:
            router = self._tender.router
            gone = [p for p in self.core.prefixes if p not in config.prefixes]
            reason = "the site does not announce it any more"
            away = {prefix: Wanted(Stance.WITHDRAWN, 0, reason) for prefix in gone}
            problem = await self._tender.within(lambda: router.apply(away)) if gone else ""
            if problem:
                names = ", ".join(map(str, gone))
                raise MachineError(f"{names} cannot be withdrawn, and would be nobody's: {problem}")
            old, self.config = self.config, config
            self._change_core(old, gone)
            if gone or config.router != old.router or config.prefixes != old.prefixes:
                self._tender.forget(gone)
                self._tender.router = self._make_router(config)
                await router.close()
        for name in ("state", "control", "metrics", "fleet", "dead_man"):
            if getattr(old, name) != getattr(config, name):
                reason = f"`{name}` changed; it takes effect at the next start"
                self._say(Say("warning", "restart_needed", reason))
        self._say(Say("info", "reloaded", f"{len(config.checks)} checks"))

    def _change_core(self, old: AgentConfig, gone: list[Prefix]) -> None:
        config, before, engine = self.config, self.core, self._engine
        # A fleet guard comes and goes with a start only.
        policy = replace(config.policy, guarded=self._slots.are_counted)
        self.core = make_core(replace(config, policy=policy))
        self.core.adopt(before)
        self._engine = Engine(config.checks, self._checked)
        self._engine.inherit(engine)
        engine.stop()
        self._engine.start()
        if self._voucher is not None:
            self._voucher.changed(plan.name for plan in config.checks)
        for prefix in gone:
            if before.prefixes[prefix].slot != "none":
                self._spawn(self._slots.release(prefix))
        if config.spec_drained:
            known = before.prefixes if old.spec_drained else {}
            fresh = tuple(p for p in config.prefixes if p not in known)
            if fresh:
                self._post(DrainAsked(_BY_SPEC, fresh, hold=math.inf))
        elif old.spec_drained:
            states = self.core.prefixes.values()
            by_spec = tuple(p.prefix for p in states if p.drain and p.drain.hold == math.inf)
            if by_spec:
                self._post(ResumeAsked(by_spec))
        self._post(Woken())

    # The operator.

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        event = read_request(request, self.core.prefixes)
        if event is None:
            return self.status()
        self._post(event)
        await asyncio.sleep(0)  # the turn that takes it comes first
        await asyncio.sleep(0)
        await self._saver.settle()
        return self.status()

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
        voucher = self._voucher
        document["dead_man"] = {
            "kind": self.config.dead_man.kind,
            "waits": voucher is not None and voucher.waits,
            "problem": voucher.problem or None if voucher is not None else None,
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
        age = asyncio.get_running_loop().time() - self._tender.read_at
        if age > STALE_S or self.core.router_problem:
            problem = self.core.router_problem or f"the router was last read {age:.0f} s ago"
            return 503, "text/plain", f"not well: {problem}\n"
        return 200, "text/plain", "well\n" if is_well(self.core) else "working; see agent status\n"


def make_core(config: AgentConfig) -> Core:
    """Make the core of a configuration."""
    checks = {plan.name: CheckState(rise=plan.rise, fall=plan.fall) for plan in config.checks}
    return Core(config.rules, checks, config.policy)
