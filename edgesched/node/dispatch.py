"""From effect to port: which thread carries out what.

Dispatching never blocks the engine: it puts each effect into the queue of the thread that owns the port. Reports are
log lines and are written at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, assert_never

from edgesched.core.model import Message
from edgesched.core.plan.effects import DeletePod, Effect, FetchLog, LaunchPod, Report, SetState
from edgesched.node.kubeworkers import KubeWorkers
from edgesched.node.outlets import Board, Outbox
from edgesched.node.supervisor import Supervisor
from edgesched.ports import Emit, EventPublisher, Notice, PodRunner, Scoreboard

if TYPE_CHECKING:
    from edgesched.node.storedoutbox import StoredOutbox

WORKERS: Final = 4


class Dispatcher:
    """Owns the outlets of the node and routes effects to them."""

    def __init__(
        self,
        *,
        pods: PodRunner,
        publisher: EventPublisher,
        scoreboard: Scoreboard,
        answer: Emit,
        notice: Notice,
        workers: int = WORKERS,
        sent: Callable[[Effect], None] | None = None,
        outbox: Outbox | StoredOutbox | None = None,
    ) -> None:
        self.kube = KubeWorkers(pods, answer=answer, notice=notice, sent=sent)
        self.outbox = outbox or Outbox(publisher, answer=answer, notice=notice)
        self.outbox.gives_way_to = lambda: self.kube.crowded
        self.board = Board(scoreboard, answer=answer, notice=notice)
        self._notice = notice
        self._workers = workers

    def register(self, supervisor: Supervisor) -> None:
        """Register the threads that carry out effects."""
        for number in range(1, self._workers + 1):
            supervisor.add(f"kube-worker-{number}", self.kube.run, phase="outlet", nudge=self.kube.nudge)
        supervisor.add("outbox", self.outbox.run, phase="outlet", nudge=self.outbox.nudge)
        supervisor.add("scoreboard", self.board.run, phase="outlet", nudge=self.board.nudge)

    def dispatch(self, effects: list[Effect]) -> None:
        """Route effects, in order."""
        # requests to the cluster first: writing the log lines of a full minute takes longer than asking for its pods
        for effect in effects:
            if isinstance(effect, LaunchPod | DeletePod | FetchLog):
                self.kube.put(effect)
        for effect in effects:
            match effect:
                case LaunchPod() | DeletePod() | FetchLog():
                    pass
                case Message():
                    self.outbox.put(effect)
                case SetState():
                    self.board.put(effect)
                case Report():
                    self._report(effect)
                case _:
                    assert_never(effect)

    def _report(self, report: Report) -> None:
        fields = {f"{name}_" if name in {"event", "level"} else name: value for name, value in report.fields.items()}
        self._notice(report.event, level=report.level, **fields)
