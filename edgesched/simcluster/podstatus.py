"""The status of pods as the kubelet of Kubernetes 1.20 writes it: containers, conditions, phase."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from edgesched.simcluster import times
from edgesched.simcluster.status import Object

HOST_IP: Final = "10.0.0.10"


@dataclass(frozen=True, slots=True)
class Container:
    """State of one container; exactly one of waiting (no `started`), running, terminated (`finished`)."""

    name: str
    image: str
    reason: str = ""
    message: str = ""
    started: str = ""
    finished: str = ""
    exit_code: int = 0
    container_id: str = ""
    restarts: int = 0
    last: Object | None = None

    def waiting(self, reason: str, message: str = "") -> Container:
        """Waiting, with a reason; after an end, for its restart."""
        if self.finished:
            last, restarts = self.terminated_state(), self.restarts + 1
        else:
            last, restarts = self.last or {}, self.restarts
        return Container(self.name, self.image, reason, message, restarts=restarts, last=last)

    def running(self) -> Container:
        """Started now."""
        ident = f"containerd://{uuid.uuid4().hex}{uuid.uuid4().hex}"
        return replace(self, reason="", message="", started=times.now_text(), finished="", container_id=ident)

    def terminated(self, exit_code: int, reason: str = "") -> Container:
        """Ended now."""
        word = reason or ("Completed" if exit_code == 0 else "Error")
        return replace(self, finished=times.now_text(), exit_code=exit_code, reason=word)

    @property
    def is_running(self) -> bool:
        """It runs."""
        return bool(self.started) and not self.finished

    @property
    def has_succeeded(self) -> bool:
        """It ended with exit code 0."""
        return bool(self.finished) and self.exit_code == 0

    def terminated_state(self) -> Object:
        """The `terminated` state."""
        return {
            "terminated": {
                "exitCode": self.exit_code,
                "reason": self.reason,
                "startedAt": self.started,
                "finishedAt": self.finished,
                "containerID": self.container_id,
            }
        }

    def status(self, *, init: bool = False) -> Object:
        """The container status."""
        if self.finished:
            state = self.terminated_state()
        elif self.started:
            state = {"running": {"startedAt": self.started}}
        else:
            waiting = {"reason": self.reason, **({"message": self.message} if self.message else {})}
            state = {"waiting": waiting}
        status: Object = {
            "name": self.name,
            "state": state,
            "lastState": self.last or {},
            "ready": self.has_succeeded if init else self.is_running,
            "restartCount": self.restarts,
            "image": self.image,
            "imageID": f"sha256:{uuid.uuid5(uuid.NAMESPACE_URL, self.image).hex}" if self.started else "",
        }
        if self.container_id:
            status["containerID"] = self.container_id
        if not init:
            status["started"] = self.is_running
        return status


def pod_status(
    before: Object, *, phase: str, inits: Sequence[Container], containers: Sequence[Container], pod_ip: str
) -> Object:
    """The next status; conditions that did not change keep their transition times."""
    status: Object = {
        "phase": phase,
        "conditions": _conditions(before.get("conditions") or [], phase, inits, containers),
        "hostIP": HOST_IP,
        "startTime": before.get("startTime") or times.now_text(),
    }
    if pod_ip:
        status |= {"podIP": pod_ip, "podIPs": [{"ip": pod_ip}]}
    if inits:
        status["initContainerStatuses"] = [container.status(init=True) for container in inits]
    status["containerStatuses"] = [container.status() for container in containers]
    status["qosClass"] = before.get("qosClass", "BestEffort")
    return status


def condition(kind: str, *, met: bool, reason: str = "", message: str = "") -> Object:
    """A condition that changes now."""
    result: dict[str, Any] = {
        "type": kind,
        "status": "True" if met else "False",
        "lastProbeTime": None,
        "lastTransitionTime": times.now_text(),
    }
    if reason:
        result["reason"] = reason
    if message:
        result["message"] = message
    return result


def with_condition(conditions: Sequence[Object], new: Object) -> list[Object]:
    """The conditions with one replaced; the transition time stays when the status does."""
    old = next((item for item in conditions if item["type"] == new["type"]), None)
    if old is None:
        return [*conditions, new]
    if old["status"] == new["status"]:
        new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    return [new if item is old else item for item in conditions]


def _conditions(
    before: Sequence[Object], phase: str, inits: Sequence[Container], containers: Sequence[Container]
) -> list[Object]:
    done = phase == "Succeeded"
    incomplete = [container.name for container in inits if not container.has_succeeded]
    unready = [container.name for container in containers if not container.is_running]
    if done:
        ready = {"met": False, "reason": "PodCompleted"}
    elif unready:
        ready = {
            "met": False,
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(unready)}]",
        }
    else:
        ready = {"met": True}
    if incomplete:
        words = f"containers with incomplete status: [{' '.join(incomplete)}]"
        initialized = condition("Initialized", met=False, reason="ContainersNotInitialized", message=words)
    else:
        initialized = condition("Initialized", met=True, reason="PodCompleted" if done else "")
    fresh = [
        initialized,
        condition("Ready", **ready),  # type: ignore[arg-type]
        condition("ContainersReady", **ready),  # type: ignore[arg-type]
        condition("PodScheduled", met=True),
    ]
    old = {item["type"]: item for item in before}
    return [_kept_time(old.get(item["type"]), item) for item in fresh]


def _kept_time(old: Object | None, new: Object) -> Object:
    if old is None or old["status"] != new["status"]:
        return new
    return {**new, "lastTransitionTime": old["lastTransitionTime"]}
