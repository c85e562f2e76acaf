"""What adapter tests launch and follow."""

from __future__ import annotations

from typing import Any

from edgesched.adapters.kube import KubeApi, KubeWatch, WatchTuning
from edgesched.core.model import Plugin, PluginSpec, PodOrder
from edgesched.core.plan.effects import LaunchPod
from edgesched.core.plan.events import PodObserved, PodsListed
from edgesched.core.pods import PodSettings, instance_name, pod_name
from tests.kube.adapter.worlds import Collector
from tests.unit.kube.script import Notices

SETTINGS = PodSettings(vsn="W023", priority_class="wes-app-priority")
TUNING = WatchTuning(timeout_s=5, silence_s=7.0, pause_first_s=0.1, pause_longest_s=1.0)
SES = "/api/v1/namespaces/ses"


def launch(key: str, name: str = "sampler", **changes: Any) -> LaunchPod:
    """Make the effect that launches the run `key`."""
    order = PodOrder(
        run_id=f"run-{key}",
        pod_name=pod_name(name, key),
        instance=instance_name(name, key),
        job_id="56",
        goal_id="g-1",
        upload_job=f"{name}-56",
        plugin=Plugin(name, PluginSpec("registry.sagecontinuum.org/theone/imagesampler:0.3.0")),
    )
    return LaunchPod(order._replace(**changes))


class Followed:
    """A watch and what it told."""

    def __init__(self, api: KubeApi, tuning: WatchTuning = TUNING) -> None:
        self.events = Collector()
        self.notices = Notices()
        self.source = KubeWatch(api, namespace="ses", emit=self.events, notice=self.notices, tuning=tuning)

    def phases(self) -> dict[str, str]:
        """Return the pods as a planner knows them now: name to phase."""
        known: dict[str, str] = {}
        for event in self.events.events:
            if isinstance(event, PodsListed):
                known = {view.name: view.phase for view in event.pods}
            elif isinstance(event, PodObserved) and event.gone:
                known.pop(event.pod.name, None)
            elif isinstance(event, PodObserved):
                known[event.pod.name] = event.pod.phase
        return known
