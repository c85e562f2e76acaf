"""The node agent, wired.

`build` makes every part and connects them; nothing else in the project knows which adapter serves which port. Parts
can be given instead (`Parts`): tests and `edgesched standalone` use that. The agent ends at SIGTERM or SIGINT: intake
stops, what came in is decided and carried out for at most 5 s, then the process ends. A second signal ends it at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from edgesched import __version__
from edgesched.adapters.clock import SystemClock, boot_id, clock_trusted
from edgesched.core.model import NS_PER_S
from edgesched.core.plan.effects import Effect
from edgesched.core.plan.events import Booted, Event, GoalsReceived, SourceKind
from edgesched.core.plan.state import NodeState
from edgesched.core.plan.step import next_deadline, prepare, step
from edgesched.core.windows import WindowStore
from edgesched.node import log, memory, wiring
from edgesched.node.alarms import Alarms
from edgesched.node.clockwatch import ClockWatch
from edgesched.node.config import Config
from edgesched.node.connections import Connections
from edgesched.node.control import ControlSocket
from edgesched.node.dispatch import Dispatcher
from edgesched.node.engine import Engine, Hooks, Planner
from edgesched.node.http import HttpServer
from edgesched.node.mailbox import Mailbox
from edgesched.node.metrics import Counters, TimedPods, outbox_age_s
from edgesched.node.runhistory import RunHistory
from edgesched.node.sentinel import Sentinel
from edgesched.node.signals import StopSignals
from edgesched.node.status import Pages
from edgesched.node.supervisor import Supervisor
from edgesched.node.systemd import Notifier
from edgesched.node.tenure import Tenure, TenuredPods, identity
from edgesched.node.wiring import Cluster
from edgesched.ports import Clock, EventPublisher, MeasurementSource, Notice, Scoreboard, Source

EXIT_BROKEN: Final = 70
EXIT_SUPERSEDED: Final = 75
LEASE_LIMIT_S: Final = 60.0
"""Between two looks at the lease lie a pause and up to four requests that time out."""
BUILT_NS: Final = 1_793_491_200 * NS_PER_S
"""2026-11-01: a wall clock before this has not been set since the power came back."""
TICK_S: Final = 1.0


@dataclass(slots=True)
class Parts:
    """Parts of the agent that are given instead of made. The last three are the hooks of a benchmark."""

    clock: Clock | None = None
    cluster: Cluster | None = None
    goal_sources: dict[str, Source] = field(default_factory=dict)
    measurements: MeasurementSource | None = None
    publisher: EventPublisher | None = None
    scoreboard: Scoreboard | None = None
    received: Callable[[Event], None] | None = None
    decided: Callable[[Event, list[Effect]], None] | None = None
    sent: Callable[[Effect], None] | None = None


class Agent:
    """The running parts. `start`, then `stop`; or `serve`, which waits for a signal between the two."""

    def __init__(self, config: Config, notice: Notice, parts: Parts) -> None:
        self.config = config
        self.clock = parts.clock or SystemClock()
        self.alarms = Alarms(notice, self.clock)
        self.history = RunHistory(self.clock)
        self.counters = Counters()
        self.notice = notice = tap(self.alarms.notice, self.history.hear, self.counters.hear)
        now = self.clock.now()
        self.started = now
        settings = wiring.plan_settings(config, f"{now.ts_ns // NS_PER_S:x}", f"{now.ts_ns // 1_000_000:x}")
        self.durable = wiring.durable(config, settings, self.clock, notice)
        self.state: NodeState = (
            NodeState(settings, WindowStore(), now=now) if self.durable is None else self.durable.state
        )
        if self.durable is not None:
            self.durable.remember(self.history)
        self.mailbox = Mailbox(config.measurement_limit, received=parts.received)
        self.supervisor = Supervisor(notice)
        emit = self._emit
        name = identity(None if self.durable is None else self.durable.folder)
        self.cluster = parts.cluster or wiring.cluster(config, emit, self.clock, notice, identity=name)
        self.goal_sources = parts.goal_sources or wiring.goal_sources(
            config, wiring.copying(emit, self.cluster.copy_goals), notice
        )
        self.measurements = parts.measurements or wiring.measurements(config, self.mailbox.put, self.clock, notice)
        self.tenure = None if self.cluster.lease is None else Tenure(self.cluster.lease, self._begin, notice)
        publisher = parts.publisher or wiring.publisher(config, notice)
        pods = TimedPods(self.cluster.pods, self.counters)
        self.dispatcher = Dispatcher(
            pods=pods if self.tenure is None else TenuredPods(pods, self.tenure),
            publisher=publisher,
            scoreboard=parts.scoreboard or wiring.scoreboard(config),
            answer=emit,
            notice=notice,
            workers=config.kube_workers,
            sent=parts.sent,
            outbox=None if self.durable is None else self.durable.outbox(publisher, self.clock),
        )
        self.engine: Engine[NodeState] = Engine(
            self.state,
            Planner(step, next_deadline, _prepare),
            mailbox=self.mailbox,
            clock=self.clock,
            dispatch=self.dispatcher.dispatch,
            notice=notice,
            hooks=Hooks(
                commit=None if self.durable is None else self.durable.committer.commit,
                settled=self._settled,
                idle=memory.tidy,
                crowded=lambda: self.dispatcher.kube.crowded,
                decided=parts.decided,
            ),
        )
        self._names: frozenset[str] = frozenset()
        self._rules_seen = 0
        self.http: HttpServer | None = None
        self.pages = Pages(self)
        if config.http_listen != "off":
            self.http = HttpServer(config.http_listen, config.http_token, self.pages)
        self.peers = Connections(self._peers(), self.clock)
        self.notifier = Notifier(os.environ)
        self._ending = threading.Lock()
        self._ended = False

    def start(self) -> None:
        """Start; only what answers over HTTP while another agent acts for this node."""
        add = self.supervisor.add
        if self.http is not None:
            add("http", self.http.run, nudge=self.http.nudge, at_once=True)
            add("pages", self.pages.kept.run, nudge=self.pages.kept.nudge, at_once=True)
        sentinel = Sentinel(self.supervisor, self.peers, self.notifier, self.sentence)
        add("sentinel", sentinel.run, at_once=True)
        if self.tenure is None:
            self._begin()
        else:
            self.tenure.start()
            add("lease", self.tenure.run, phase="last", limit_s=LEASE_LIMIT_S, at_once=True)
            if self.tenure.waits_for:
                self.notice("agent.standby", vsn=self.config.vsn, holder=self.tenure.waits_for, http=self._address())
        self.notifier.ready()

    def _begin(self) -> None:
        """Start all other threads: nobody else acts for this node."""
        with self._ending:
            if not self._ended:
                self._begin_once()

    def _begin_once(self) -> None:
        newest_ns = BUILT_NS if self.durable is None else max(BUILT_NS, self.durable.newest_ns)
        trusted = clock_trusted(self.started.ts_ns, newest_known_ns=newest_ns)
        if not trusted:
            self.supervisor.add("clock", ClockWatch(self.clock, self.mailbox.put, newest_known_ns=newest_ns).run)
        if self.durable is not None:
            self.dispatcher.dispatch(self.durable.owed)
        self.mailbox.put(Booted(boot_id(), clock_trusted=trusted))
        self._register()
        self.supervisor.start()
        self.notice(
            "agent.started", version=__version__, vsn=self.config.vsn, cluster=self.config.cluster, http=self._address()
        )

    def _address(self) -> str:
        return f"{self.http.host}:{self.http.port}" if self.http is not None else "off"

    def stop(self) -> bool:
        """Stop in order: intake, engine, outlets, lease; return whether all threads ended in time."""
        self.notifier.stopping()
        with self._ending:
            self._ended = True
        ended = self.supervisor.stop()
        if self.http is not None:
            self.http.close()
        if self.durable is not None:
            self.durable.close(self.clock.now(), warm=ended)
        self.notice("agent.stopped", steps=self.engine.steps, undelivered=self.dispatcher.outbox.waiting)
        return ended

    def serve(self, tick: Callable[[], None] | None = None) -> int:
        """Run until a signal comes and return the exit code. `tick` is called every second."""
        with StopSignals() as signals:
            self.start()
            while not (name := signals.wait(TICK_S)):
                if tick is not None:
                    tick()
                if self.supervisor.broken.is_set():
                    return EXIT_BROKEN
                if self.tenure is not None and self.tenure.superseded:
                    return self._give_way(self.tenure.superseded)
            self.notice("agent.stopping", signal=name)
            self.stop()
        return 0

    def _give_way(self, holder: str) -> int:
        """End, because another agent acts for this node; what we know of its runs is not true any more."""
        self.notice(
            "agent.superseded", level="error", holder=holder,
            hint="only one agent may run for a node; started again, this one waits for the other",
        )  # fmt: skip
        self.stop()
        return EXIT_SUPERSEDED

    def not_ready(self) -> list[str]:
        """Return what the agent still waits for before it can do its work."""
        if self.tenure is not None and self.tenure.waits_for:
            return [f"the lease of this node, held by {self.tenure.waits_for}"]
        named: dict[SourceKind, bool] = {
            "files": bool(self.config.jobs),
            "stream": bool(self.config.goalstream_url),
        }
        expected: list[SourceKind] = [kind for kind, is_named in named.items() if is_named] or ["configmap"]
        waiting = [f"goals of source {kind}" for kind in expected if kind not in self.state.sources]
        if not self.state.pods_known:
            waiting.append("cluster")
        return waiting

    def connections(self) -> dict[str, bool]:
        """Return for each peer whether it is connected now."""
        return {peer.name: peer.connected for peer in self.peers.look()}

    def sentence(self) -> str:
        """Return how the agent is, on one line."""
        waiting = self.not_ready()
        wrong = [alarm.trouble.title for alarm in self.alarms.open()]
        told = f"waits for {', '.join(waiting)}" if waiting else f"{len(self.state.jobs)} jobs in force"
        return "; ".join([told, *dict.fromkeys(wrong)])

    def _peers(self) -> dict[str, Callable[[], bool]]:
        """Return for each peer how to learn whether it is connected now."""
        cloud = self.goal_sources.get("goal-stream")
        peers = {"cluster": self.cluster.watch, "cloud": cloud, "measurements": self.measurements}
        looks: dict[str, Callable[[], bool]] = {
            name: lambda peer=peer: bool(getattr(peer, "connected", True))  # type: ignore[misc]
            for name, peer in peers.items()
            if peer is not None
        }
        looks["events"] = lambda: not self.dispatcher.outbox.failures
        return looks

    def gauges(self) -> dict[str, float]:
        """Return the metrics without a label; read without asking the engine."""
        state, outbox = self.state, self.dispatcher.outbox
        return {
            "edgesched_ready": not self.not_ready(),
            "edgesched_alarms": len(self.alarms.open()),
            "edgesched_steps_total": self.engine.steps,
            "edgesched_rule_evaluations_total": state.evaluations,
            "edgesched_mailbox_depth": self.mailbox.depth,
            "edgesched_mailbox_dropped_total": self.mailbox.dropped,
            "edgesched_jobs": len(state.jobs),
            "edgesched_rules": len(state.rules),
            "edgesched_runs_waiting": len(state.waiting),
            "edgesched_outbox_waiting": outbox.waiting,
            "edgesched_outbox_age_seconds": outbox_age_s(outbox.oldest_ns, self.clock.now().ts_ns),
            "edgesched_outbox_dropped_total": outbox.dropped,
            "edgesched_kube_requests_waiting": self.dispatcher.kube.waiting,
        }

    def _emit(self, event: Event) -> None:
        if isinstance(event, GoalsReceived):
            self.counters.goals_heard(event.source)
        self.mailbox.put(event)

    def _register(self) -> None:
        add = self.supervisor.add
        sources = {"measurements": self.measurements, "kube-watch": self.cluster.watch}
        for name, source in {**self.goal_sources, **self.cluster.more, **sources}.items():
            if source is not None:
                add(name, source.run)
        if self.config.state_dir is not None:
            control = ControlSocket(self.config.state_dir, self.mailbox.put, self.engine.ask, self.notice)
            add("control", control.run)
        add("engine", self.engine.run, phase="engine", nudge=self.mailbox.wake)
        self.dispatcher.register(self.supervisor)
        if self.durable is not None:
            self.dispatcher.board.delivered = self.durable.committer.shown
            self.durable.register(
                self.supervisor, self.engine, snapshot_every_s=self.config.snapshot_every, history=self.history
            )

    def _settled(self, state: NodeState) -> None:
        """After a turn that was more than measurements and deadlines."""
        self._subscribe(state)
        self.pages.kept.change()

    def _subscribe(self, state: NodeState) -> None:
        """Listen to the measurements that the rules in force need."""
        if state.rule_counter != self._rules_seen:
            self._rules_seen = state.rule_counter
            memory.settle()
        names = frozenset(state.wakeups.by_name)
        if self.measurements is not None and names != self._names:
            self._names = names
            self.measurements.subscribe(names)


def tap(notice: Notice, *hearers: Callable[[str, dict[str, Any]], None]) -> Notice:
    """Return a notice that lets the hearers know every line, too."""

    def told(event: str, *, level: str = "info", **fields: Any) -> None:
        for hear in hearers:
            hear(event, fields)
        notice(event, level=level, **fields)

    return told


def _prepare(state: NodeState, deadline_ns: int) -> int:
    if runs := prepare(state, deadline_ns):
        memory.make_room(runs)
    return runs


def build(config: Config, *, notice: Notice = log.notice, parts: Parts | None = None) -> Agent:
    """Make the agent that a configuration describes. Raises ConfigError when it cannot be made."""
    for note in config.notes:
        notice("config.note", level="warning", note=note)
    agent = Agent(config, notice, parts or Parts())
    if not config.jobs and not config.goalstream_url:
        agent.notice(
            "goals.no_source", hint="name a job with --job or a cloud with --goalstream-url; the ConfigMap counts too"
        )
    return agent
