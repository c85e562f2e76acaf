"""What the agent's HTTP API answers: read only, and never in the engine's way.

What the node state says is read by the engine thread between two steps, `PART` rows at a time, and kept as text for
all readers (`kept`): a hundred of them cost the engine what one does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from edgesched import __version__
from edgesched.core.model import Instant
from edgesched.core.plan.state import NodeState, PluginKey, RuleFacts
from edgesched.core.rules import Condition, compile_condition
from edgesched.errors import EdgeSchedError
from edgesched.node import metrics, views
from edgesched.node.alarms import Alarm
from edgesched.node.explain import UnknownPluginError, explained, named
from edgesched.node.http import Answer, json_answer
from edgesched.node.kept import Kept
from edgesched.node.page import FILES, MOST_SHOWN, Shown, file, render

if TYPE_CHECKING:
    from edgesched.node.main import Agent

PART: Final = 25
"""Rows that the engine is asked for at a time: a thousand at once would hold it up."""

Json = dict[str, Any]


class Rows(Protocol):
    """A list of the node state, by parts."""

    def __call__(self, state: NodeState, now: Instant, start: int = 0, count: int | None = None) -> list[Json]:
        """Return `count` rows from `start`."""
        ...


@dataclass(frozen=True, slots=True)
class _Page:
    """`mark` is another one when the page looks different."""

    text: bytes
    mark: str


class Pages:
    """What each path answers. `kept.run` is the body of a thread."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._counts = metrics.Page(agent)
        self.kept = Kept(
            {
                "page": self._make_page,
                "status": self._make_status,
                "goals": lambda: self._text(views.goals_view),
                "plugins": lambda: self._text(views.plugins_view),
                "runs": lambda: self._text(views.runs_view),
            }
        )

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        """Return status, content type and body."""
        if method == "POST" and path == "/evaluate":
            return self._evaluate(body)
        if method not in {"GET", "HEAD"}:
            return json_answer(405, {"error": f"{method} is not answered here; nothing over HTTP changes the agent"})
        pages: dict[str, Callable[[], Answer]] = {
            "/": self._page,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/api/v1/status": self._status,
            "/api/v1/goals": lambda: _json(self.kept.get("goals")),
            "/api/v1/plugins": lambda: _json(self.kept.get("plugins")),
            "/api/v1/runs": lambda: _json(self.kept.get("runs")),
            "/api/v1/explain": lambda: self._explain(query),
        }
        page = pages.get(path)
        name = path.removeprefix("/page/")
        if page is None and name in FILES:
            return 200, FILES[name], file(name)
        if page is None:
            return json_answer(404, {"error": f"nothing at {path}"})
        try:
            with self._agent.counters.answering():
                return page()
        except TimeoutError:
            return json_answer(503, {"error": "the engine is busy"})

    def _ask(self, rows: Rows, most: int | None = None) -> Iterator[Json]:
        """Ask the engine for rows, a few at a time, `most` of them."""
        start = 0
        while most is None or start < most:
            count = PART if most is None else min(PART, most - start)
            part = self._agent.engine.ask(lambda state, now, start=start, count=count: rows(state, now, start, count))  # type: ignore[misc]
            yield from part
            if len(part) < count:
                return
            start += count

    def _text(self, rows: Rows) -> bytes:
        """Return all rows as JSON; one by one, because the encoder lets no other thread run meanwhile."""
        return b"[" + b", ".join(json.dumps(row).encode() for row in self._ask(rows)) + b"]"

    def _healthz(self) -> Answer:
        stuck = self._agent.supervisor.stuck()
        ages = {
            name: {"age_s": round(age_s, 1), "limit_s": limit_s}
            for name, (age_s, limit_s) in self._agent.supervisor.ages().items()
        }
        status = {"status": "stuck" if stuck else "ok", "stuck": stuck, "heartbeats": ages}
        return json_answer(503 if stuck else 200, status)

    def _readyz(self) -> Answer:
        missing = self._agent.not_ready()
        return json_answer(
            503 if missing else 200, {"status": "waiting" if missing else "ready", "waiting_for": missing}
        )

    def changes(self) -> str:
        """Return a text that is another one when the page would look different. Raises TimeoutError."""
        page: _Page = self.kept.get("page")
        return page.mark

    def _page(self) -> Answer:
        page: _Page = self.kept.get("page")
        return 200, "text/html; charset=utf-8", page.text

    def _make_page(self) -> _Page:
        status = {**self._live(), **self._agent.engine.ask(views.status_view)}
        shown = Shown(
            status,
            list(self._ask(views.goals_view, MOST_SHOWN)),
            list(self._ask(views.plugins_view, MOST_SHOWN)),
            list(self._ask(views.other_rules_view, MOST_SHOWN)),
            self._agent.history.runs(),
            self._agent.clock.now().ts_ns,
        )
        page, news = render(shown)
        mark = hashlib.sha256(f"{self._agent.history.told} {news}".encode()).hexdigest()
        return _Page(page.encode(), mark)

    def _make_status(self) -> bytes:
        """Return what the engine knows as the inner part of a JSON object."""
        told = json.dumps(self._agent.engine.ask(views.status_view)).encode()
        return told[1:-1] + b', "other_rules": ' + self._text(views.other_rules_view)

    def _status(self) -> Answer:
        live = json.dumps(self._live()).encode()
        return _json(live[:-1] + b", " + self.kept.get("status") + b"}")

    def _live(self) -> Json:
        """Return what is known without asking the engine."""
        agent = self._agent
        ages = agent.supervisor.ages()
        waiting_for = agent.not_ready()
        outbox = agent.dispatcher.outbox
        return {
            "version": __version__,
            "started": views.when(agent.started.ts_ns),
            "ready": not waiting_for,
            "waiting_for": waiting_for,
            "connections": agent.connections(),
            "connected_since": {each.name: views.when(each.since_ns) for each in agent.peers.look()},
            "alarms": [_alarm(alarm) for alarm in agent.alarms.open()],
            "mailbox": {"depth": agent.mailbox.depth, "dropped": agent.mailbox.dropped},
            "outbox": {"waiting": outbox.waiting, "dropped": outbox.dropped},
            "kube_requests_waiting": agent.dispatcher.kube.waiting,
            "threads": {
                name: {"age_s": round(age_s, 1), "limit_s": limit_s} for name, (age_s, limit_s) in ages.items()
            },
        }

    def _explain(self, query: dict[str, str]) -> Answer:
        plugin = query.get("plugin", "")
        if not plugin:
            return json_answer(400, {"error": "say which plugin: /api/v1/explain?plugin=NAME"})
        ask = self._agent.engine.ask
        try:
            keys, view = ask(lambda state, now: _first(state, now, plugin, query.get("job", "")))
        except UnknownPluginError as error:
            return json_answer(404, {"error": str(error)})
        for key in keys[1:]:
            view += ask(lambda state, now, key=key: explained(state, key, now))  # type: ignore[misc]
        return json_answer(200, {"plugins": view, "alarms": [_alarm(alarm) for alarm in self._agent.alarms.open()]})

    def _evaluate(self, body: bytes) -> Answer:
        """Answer as the reference's rule checker does; unknown and errors are failures there."""
        try:
            asked = json.loads(body)
            condition = compile_condition(str(asked["rule"]))
        except (ValueError, KeyError, TypeError):
            return json_answer(400, {"response": "failed", "error": 'expected {"rule": CONDITION}'})
        except EdgeSchedError as error:
            return json_answer(200, {"response": "failed", "error": str(error)})
        try:
            value, reason = self._agent.engine.ask(lambda state, now: _evaluate(condition, state, now))
        except TimeoutError:
            return json_answer(503, {"response": "failed", "error": "the engine is busy"})
        if value is None:
            return json_answer(200, {"response": "failed", "error": reason})
        return json_answer(200, {"response": "success", "result": value})

    def _metrics(self) -> Answer:
        return 200, metrics.CONTENT_TYPE, self._counts.text()


def _first(state: NodeState, now: Instant, plugin: str, job_id: str) -> tuple[list[PluginKey], list[Json]]:
    """Return the plugins of a name and what is known of the first of them."""
    keys = named(state, plugin, job_id)
    return keys, explained(state, keys[0], now)


def _json(text: bytes) -> Answer:
    return 200, "application/json", text + b"\n"


def _alarm(alarm: Alarm) -> dict[str, Any]:
    return {
        "event": alarm.event,
        "level": alarm.level,
        "title": alarm.trouble.title,
        "subject": alarm.subject,
        "cause": alarm.cause,
        "remedy": alarm.remedy,
        "since": views.when(alarm.since_ns),
        "count": alarm.count,
    }


def _evaluate(condition: Condition, state: NodeState, now: Instant) -> tuple[bool | None, str]:
    """Evaluate once and leave nothing behind; a window that no rule reads is empty."""
    bound = condition.bind(RuleFacts(state, "", ""), now.ts_ns)
    try:
        verdict = bound.evaluate(now.ts_ns)
        return verdict.value, "" if verdict.value is not None else verdict.reason
    finally:
        bound.release()
