"""What an operator may set of the planner. All durations in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgesched.core.model import Site
from edgesched.core.pods import AdmissionSettings, PodSettings


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """Settings of the planner.

    `vsn`: the node whose sub-goals are ours. `epoch`: distinguishes the runs of this state from those of an earlier,
    lost one; `start` distinguishes the messages of this process, and the runs that no slot names, from those of an
    earlier one whose end was not written down. `grace_s`: how long a cron slot stays open. `min_gap_s`: between the end
    of a run and the next launch. `keep_finished_s` and `keep_finished_pods`: how long, and how many, ended pods
    stay for their logs.
    `image_wait_s`: patience with image pull and container configuration errors. `unschedulable_s`: patience with a pod
    that no node takes. `hold_missing_s`: how long a job lacking in the first list after a reconnect is kept.
    `backoff_min_s`, `backoff_max_s`: pause of a level-true rule after failures. `breaker_after`: consecutive failures
    after which a plugin counts as failing. `log_lines`: lines of log in a failure event. `pods`: how pods look, hence
    what they ask for.
    """

    vsn: str
    epoch: str = "0"
    start: str = ""
    policy: str = "default"
    site: Site | None = None
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    pods: PodSettings = field(default_factory=PodSettings)
    grace_s: float = 60.0
    min_gap_s: float = 10.0
    keep_finished_s: float = 60.0
    keep_finished_pods: int = 50
    image_wait_s: float = 600.0
    unschedulable_s: float = 600.0
    queue_timeout_s: float = 3600.0
    hold_missing_s: float = 600.0
    clock_patience_s: float = 300.0
    backoff_min_s: float = 10.0
    backoff_max_s: float = 600.0
    breaker_after: int = 5
    delete_grace_s: int = 30
    publish_every_s: float = 600.0
    log_lines: int = 3

    @property
    def life(self) -> str:
        """What no other process of this node has."""
        return f"{self.epoch}.{self.start}" if self.start else self.epoch
