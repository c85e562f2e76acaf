"""Which adapter serves which port: made from the configuration, imported only when it is used.

Brokers and Redis are off unless named. Of two brokers the node's own RabbitMQ carries the events, because that is where
the edge stack reads them; measurements are heard from both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgesched.adapters.goalfiles import GoalFiles
from edgesched.adapters.scoreboard import MemoryScoreboard, RedisScoreboard
from edgesched.core.model import ScienceGoal
from edgesched.core.plan.events import Event, GoalsReceived
from edgesched.core.plan.settings import PlanSettings
from edgesched.errors import ConfigError
from edgesched.node.config import Config
from edgesched.ports import Clock, Emit, EventPublisher, MeasurementSource, Notice, PodRunner, Scoreboard, Source

if TYPE_CHECKING:
    from edgesched.adapters.amqp import AmqpSettings
    from edgesched.adapters.kube import KubeLease
    from edgesched.adapters.mqtt import MqttSettings
    from edgesched.node.durable import Durable


@dataclass(frozen=True, slots=True)
class Cluster:
    """The parts that speak to Kubernetes.

    `more`: further sources by thread name. `lease`: who may act for the node; None: nobody else does. `copy_goals`: has
    the goals of the stream written into the cluster.
    """

    pods: PodRunner
    watch: Source | None = None
    more: dict[str, Source] = field(default_factory=dict)
    lease: KubeLease | None = None
    copy_goals: Callable[[Iterable[ScienceGoal]], None] | None = None


def cluster(config: Config, emit: Emit, clock: Clock, notice: Notice, *, identity: str) -> Cluster:
    """Make who creates pods and who follows them. Raises ConfigError when no cluster can be named.

    `identity`: names this agent among those of its node.
    """
    if config.cluster == "kubeconfig" and not config.kubeconfig.is_file():
        raise ConfigError(
            f"no cluster: {config.kubeconfig} does not exist",
            hint="name one with --kubeconfig FILE, --in-cluster or --kube-server URL, or try --simulate",
        )
    from edgesched.adapters.kube import (
        KubeApi,
        KubeBootstrap,
        KubeGoalCopy,
        KubeGoals,
        KubeLease,
        KubeNodes,
        KubePods,
        KubeTarget,
        KubeWatch,
    )

    target = KubeTarget(
        server=config.kube_server,
        in_cluster=config.in_cluster,
        kubeconfig=str(config.kubeconfig) if config.cluster == "kubeconfig" else "",
    )
    api = KubeApi.connect(target)
    namespace = config.pods.namespace
    more: dict[str, Source] = {"kube-goals": KubeGoals(api, namespace=namespace, emit=emit, notice=notice)}
    if config.wes:
        more["kube-bootstrap"] = KubeBootstrap(api, config.pods, notice=notice)
    if config.policy == "resourceaware":
        more["kube-nodes"] = KubeNodes(api, emit=emit, notice=notice)
    copy = KubeGoalCopy(api, namespace=namespace, notice=notice) if config.goalstream_url else None
    if copy is not None:
        more["kube-goal-copy"] = copy
    lease = KubeLease(api, namespace=namespace, vsn=config.vsn, identity=identity, clock=clock, notice=notice)
    return Cluster(
        KubePods(api, config.pods),
        KubeWatch(api, namespace=namespace, emit=emit, notice=notice),
        more,
        lease if config.lease else None,
        None if copy is None else copy.put,
    )


def copying(emit: Emit, copy_goals: Callable[[Iterable[ScienceGoal]], None] | None) -> Emit:
    """Return an emit that also has the stream's goals copied into the cluster."""
    if copy_goals is None:
        return emit

    def tell(event: Event) -> None:
        emit(event)
        if isinstance(event, GoalsReceived) and event.source == "stream":
            copy_goals(event.goals)

    return tell


def measurements(config: Config, emit: Emit, clock: Clock, notice: Notice) -> MeasurementSource | None:
    """Make the source of measurements: the brokers that are named, None without one."""
    sources: list[MeasurementSource] = []
    if config.mqtt_uri:
        from edgesched.adapters.mqtt import MqttSource

        sources.append(MqttSource(mqtt_settings(config), emit, clock, notice))
    if config.rabbitmq_named:
        from edgesched.adapters.amqp import AmqpSource

        sources.append(AmqpSource(amqp_settings(config), emit, clock, notice))
    if len(sources) > 1:
        return BothBrokers(sources)
    return sources[0] if sources else None


class BothBrokers:
    """A `MeasurementSource` over several; a measurement that comes over both counts once, because equal ones do."""

    def __init__(self, sources: list[MeasurementSource]) -> None:
        self._sources = sources

    @property
    def connected(self) -> bool:
        """Whether all of them are connected."""
        return all(bool(getattr(source, "connected", True)) for source in self._sources)

    def subscribe(self, names: frozenset[str]) -> None:
        """Listen to these names on all of them."""
        for source in self._sources:
            source.subscribe(names)

    def run(self, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Run the others in threads of their own and the first in this one."""
        threads = [
            threading.Thread(target=source.run, args=(stop, _ignore), name=f"measurements-{number}", daemon=True)
            for number, source in enumerate(self._sources[1:], 2)
        ]
        for thread in threads:
            thread.start()
        self._sources[0].run(stop, beat)
        for thread in threads:
            thread.join()


def publisher(config: Config, notice: Notice) -> EventPublisher:
    """Make where events go. Raises ConfigError when what is asked for has no address."""
    where = config.events
    if where == "auto":
        named = {"rabbitmq": config.rabbitmq_named, "mqtt": config.mqtt_uri, "cloud": config.goalstream_url}
        where = next((name for name, address in named.items() if address), "log")
    if where == "rabbitmq":
        _need(config.rabbitmq_named, "rabbitmq but no RabbitMQ is named", "--rabbitmq-uri")
        from edgesched.adapters.amqp import AmqpPublisher

        return AmqpPublisher(amqp_settings(config), notice)
    if where == "mqtt":
        _need(config.mqtt_uri, "mqtt but no broker is named", "--mqtt-uri")
        from edgesched.adapters.mqtt import MqttPublisher

        return MqttPublisher(mqtt_settings(config), notice)
    if where == "cloud":
        _need(config.goalstream_url, "the cloud but no cloud is named", "--goalstream-url")
        from edgesched.adapters.httpsink import HttpSink

        return HttpSink(config.goalstream_url, config.vsn, token=config.goalstream_token, ca_file=_ca(config))
    from edgesched.adapters.logpublisher import LogPublisher

    # every decision has a log line of its own, so the events repeat them only on demand
    return LogPublisher(notice, level="info" if config.events == "log" else "debug")


def scoreboard(config: Config) -> Scoreboard:
    """Make the scoreboard: Redis when it is named."""
    return RedisScoreboard(config.scoreboard_uri) if config.scoreboard_uri else MemoryScoreboard()


def goal_sources(config: Config, emit: Emit, notice: Notice) -> dict[str, Source]:
    """Make the sources of goals by thread name. Raises ConfigError for a job file that is not there."""
    sources: dict[str, Source] = {}
    if config.jobs:
        missing = [str(path) for path in config.jobs if not path.exists()]
        if missing:
            raise ConfigError(f"no job file or folder {', '.join(missing)}")
        sources["goal-files"] = GoalFiles(config.jobs, emit, notice, vsn=config.vsn)
    if config.goalstream_url:
        from edgesched.adapters.goalstream import GoalStream

        sources["goal-stream"] = GoalStream(
            config.goalstream_url,
            config.vsn,
            emit=emit,
            notice=notice,
            token=config.goalstream_token,
            ca_file=_ca(config),
        )
    return sources


def durable(config: Config, settings: PlanSettings, clock: Clock, notice: Notice) -> Durable | None:
    """Open the state directory and restore what is in it, None when none is named. Raises ConfigError."""
    if config.state_dir is None:
        return None
    from edgesched.adapters.clock import boot_id
    from edgesched.node.durable import open_durable

    return open_durable(config.state_dir, settings, clock=clock, boot_id=boot_id(), notice=notice)


def plan_settings(config: Config, epoch: str, start: str = "") -> PlanSettings:
    """Return what the planner needs of the configuration."""
    return PlanSettings(
        vsn=config.vsn,
        epoch=epoch,
        start=start,
        policy=config.policy,
        site=config.site,
        admission=config.admission,
        pods=config.pods,
        grace_s=config.grace,
        keep_finished_s=config.keep_finished,
        keep_finished_pods=config.keep_finished_pods,
        image_wait_s=config.image_wait,
        unschedulable_s=config.unschedulable_wait,
        breaker_after=config.breaker_after,
        delete_grace_s=config.pods.grace_s,
    )


def mqtt_settings(config: Config) -> MqttSettings:
    """Return the settings of the MQTT broker."""
    from edgesched.adapters.mqtt import MqttSettings

    more: dict[str, object] = {"vsn": config.vsn, "version": config.mqtt_version}
    if config.mqtt_password_file is not None:
        more["password_file"] = str(config.mqtt_password_file)
    elif config.mqtt_password:
        more["password"] = config.mqtt_password
    if config.mqtt_ca is not None:
        more |= {"tls": True, "ca_file": str(config.mqtt_ca)}
    if config.mqtt_topic_prefix:
        more["prefix"] = config.mqtt_topic_prefix
    return MqttSettings.from_url(config.mqtt_uri, **more)


def amqp_settings(config: Config) -> AmqpSettings:
    """Return the settings of RabbitMQ."""
    from edgesched.adapters.amqp import AmqpSettings

    more: dict[str, object] = {"vsn": config.vsn, "app_id": config.app_id, "username": config.rabbitmq_username}
    if config.rabbitmq_password_file is not None:
        more["password_file"] = str(config.rabbitmq_password_file)
    else:
        more["password"] = config.rabbitmq_password
    if config.rabbitmq_ca is not None:
        more |= {"tls": True, "ca_file": str(config.rabbitmq_ca)}
    return AmqpSettings.from_url(config.rabbitmq_uri, **more)


def _need(address: object, what: str, flag: str) -> None:
    if not address:
        raise ConfigError(f"events go to {what}", hint=f"add {flag}")


def _ca(config: Config) -> str:
    return str(config.goalstream_ca) if config.goalstream_ca is not None else ""


def _ignore() -> None:
    """The first source beats for all of them."""
