"""A forbidden request: a starting API server at first, missing roles when it lasts."""

from __future__ import annotations

import pytest

from edgesched.adapters.kube import KubePods
from edgesched.core.plan.effects import DeletePod
from edgesched.core.pods import PodSettings
from edgesched.errors import KubeRefusedError, KubeUnavailableError
from tests.unit.kube.script import Exchange, Script, scripted
from tests.waiting import wait_until

ROLES = 'pods "p" is forbidden: User "system:serviceaccount:default:edgesched" cannot delete resource "pods"'
ADMISSION = 'pods "p" is forbidden: no PriorityClass with name x was found'


def answering(*answers: tuple[int, str]) -> Script:
    """Make a script that gives these answers in turn, the last one for ever."""
    script = Script()
    left = list(answers)

    def answer(exchange: Exchange) -> None:
        status, message = left.pop(0) if len(left) > 1 else left[0]
        exchange.reply(status, {"kind": "Status", "code": status, "reason": "Forbidden", "message": message})

    script.other = answer
    return script


@pytest.mark.parametrize("first", [(403, ROLES), (401, "Unauthorized")])
def test_a_starting_server_is_waited_for(first: tuple[int, str]) -> None:
    """What is forbidden only at first is tried again, and the run is not failed for it."""
    with scripted(answering(first, (200, ""))) as api:
        pods = KubePods(api, PodSettings())
        with pytest.raises(KubeUnavailableError):
            pods.delete(DeletePod("d", "p"))
        pods.delete(DeletePod("d", "p"))


def test_missing_roles_are_a_refusal_in_the_end() -> None:
    """What stays forbidden is refused, so that runs end with a reason."""
    with scripted(answering((403, ROLES))) as api:
        pods = KubePods(api, PodSettings(), forbidden_s=0.02)

        def outcome() -> type[Exception] | None:
            try:
                pods.delete(DeletePod("d", "p"))
            except (KubeUnavailableError, KubeRefusedError) as error:
                return type(error)
            return None

        assert outcome() is KubeUnavailableError
        wait_until(lambda: outcome() is KubeRefusedError)


def test_an_admission_refusal_is_final_at_once() -> None:
    """A 403 about the pod itself is not taken for a starting server."""
    with scripted(answering((403, ADMISSION))) as api, pytest.raises(KubeRefusedError, match="PriorityClass"):
        KubePods(api, PodSettings()).delete(DeletePod("d", "p"))
