"""What outlives the process, put together: lock, store, records, windows.

At the start the directory is locked, the file opened and the last state restored before any peer is asked: the goals of
the last life are in force at once. A disk that cannot be written is no reason to stay down: what can be read is read,
and writing begins when the disk is back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edgesched.adapters.sqlite import StateFile
from edgesched.adapters.statedir import StateDir
from edgesched.core.model import Instant
from edgesched.core.plan.effects import Effect, SetState
from edgesched.core.plan.records import Recorder
from edgesched.core.plan.restore import newest_known_ns, restore
from edgesched.core.plan.settings import PlanSettings
from edgesched.core.plan.state import NodeState
from edgesched.core.windows import WindowStore
from edgesched.errors import EdgeSchedError, StoreUnavailableError
from edgesched.node.committer import Committer
from edgesched.node.engine import Engine
from edgesched.node.runhistory import FILE as FILE_OF_RUNS
from edgesched.node.runhistory import RunHistory
from edgesched.node.snapshots import Snapshots, warm
from edgesched.node.storedoutbox import Sender, StoredOutbox
from edgesched.node.supervisor import Supervisor
from edgesched.ports import Clock, EventPublisher, Notice

FILE: Final = "state.db"
STUCK_STORE_S: Final = 600.0
"""A disk that hangs is no reason to be restarted: what is pending would be lost by it."""


class Durable:
    """The state directory of a running agent.

    `state`: as it was left, or empty; `owed`: effects that were decided and perhaps not carried out. `newest_ns`: wall
    time of the newest record.
    """

    def __init__(self, folder: StateDir, store: StateFile, notice: Notice) -> None:
        self.folder = folder
        self.store = store
        self.owed: list[Effect] = []
        self.newest_ns = 0
        self.state: NodeState
        self.committer: Committer
        self.snapshots: Snapshots | None = None
        self._notice = notice

    def outbox(self, publisher: EventPublisher, clock: Clock) -> StoredOutbox:
        """Make the outbox that sends what the store holds."""
        settings = self.state.settings
        sender = Sender(settings.vsn, settings.start)
        outbox = StoredOutbox(self.store, self.committer, publisher, sender=sender, clock=clock, notice=self._notice)
        self.committer.tend = outbox.tend
        self.committer.send_now = outbox.send_now
        return outbox

    def remember(self, history: RunHistory) -> None:
        """Give the run history what a former life left of it."""
        try:
            history.restore(self.folder.read(FILE_OF_RUNS), self.state)
        except ValueError as error:
            self._notice("runs.unreadable", level="warning", error=str(error))

    def register(
        self, supervisor: Supervisor, engine: Engine[NodeState], *, snapshot_every_s: float, history: RunHistory
    ) -> None:
        """Register the threads that write."""
        self.snapshots = Snapshots(
            self.folder, engine, interval_s=snapshot_every_s, notice=self._notice, history=history
        )
        supervisor.add("snapshots", self.snapshots.run)
        supervisor.add("store", self.committer.run, phase="outlet", limit_s=STUCK_STORE_S, nudge=self.committer.nudge)

    def close(self, now: Instant, *, warm: bool) -> None:
        """Write what is left and let go of the directory. `warm`: nobody uses the windows any more; keep them."""
        if warm and self.snapshots is not None:
            self.snapshots.write_last(self.state, now)
        self.committer.flush()
        self.store.close()
        self.folder.close()


def open_durable(path: Path, settings: PlanSettings, *, clock: Clock, boot_id: str, notice: Notice) -> Durable:
    """Open a state directory and restore the state of a node.

    Raises: ConfigError: the directory cannot be used, another agent uses it, or it is another node's; StoreNewerError.
    """
    folder = StateDir(path)
    try:
        return _opened(folder, settings, clock=clock, boot_id=boot_id, notice=notice)
    except EdgeSchedError:
        folder.close()
        raise


def _opened(folder: StateDir, settings: PlanSettings, *, clock: Clock, boot_id: str, notice: Notice) -> Durable:
    store = StateFile(folder.path / FILE, notice=notice, now_ns=lambda: clock.now().ts_ns)
    now = clock.now()
    anew = False
    try:
        store.open()
        records = store.records()
    except StoreUnavailableError as error:
        notice("state.unavailable", level="error", error=str(error))
        records = store.last_records()
        anew = not records
    windows = WindowStore()
    warm(windows, folder, now.ts_ns, notice)
    try:
        state, owed = restore(settings, windows, records, now, boot_id)
    except EdgeSchedError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # records that make no sense are a corrupt file, whoever wrote them
        problem = f"records that make no sense: {type(error).__name__}: {error}"
        _begin_anew(store, problem, notice)
        records, owed, anew = [], [], True
        state = NodeState(settings, WindowStore(), now=now)
    durable = Durable(folder, store, notice)
    durable.state = state
    durable.owed = owed + _values(store)
    durable.newest_ns = newest_known_ns(records)
    durable.committer = Committer(store, Recorder(records), notice=notice, anew=anew)
    notice("state.restored", jobs=len(state.jobs), runs=len(state.runs), records=len(records))
    return durable


def _begin_anew(store: StateFile, problem: str, notice: Notice) -> None:
    try:
        store.set_aside(problem)
    except StoreUnavailableError as error:
        notice("state.unavailable", level="error", error=str(error))


def _values(store: StateFile) -> list[Effect]:
    """Return the scoreboard values that are not known to have been delivered."""
    try:
        values = store.scoreboard()
    except StoreUnavailableError:
        return []
    return [SetState(f"restored:{key}", key, value) for key, value in values.items()]
