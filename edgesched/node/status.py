"""What the agent's HTTP API answers: read only, and never in the engine's way.

Answers that need the node state are made by the engine thread between two steps, at most once in `FRESH_S` for each
kind: readers share an answer, so a hundred of them cost the engine what one does.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from edgesched import __version__
from edgesched.core.model import Instant
from edgesched.core.plan.state import NodeState, RuleFacts
from edgesched.core.rules import Condition, compile_condition
from edgesched.errors import EdgeSchedError
from edgesched.node import metrics, views
from edgesched.node.alarms import Alarm
from edgesched.node.explain import UnknownPluginError, explain_view
from edgesched.node.http import Answer, json_answer
from edgesched.node.page import FILES, Shown, file, render, render_main

if TYPE_CHECKING:
    from edgesched.node.main import Agent

FRESH_S: Final = 0.25
PART: Final = 50


class Pages:
    """What each path answers."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._kept: dict[str, tuple[float, Any]] = {}
        self._lock = threading.Lock()

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
            "/api/v1/goals": lambda: json_answer(200, self._kept_view("goals", views.goals_view)),
            "/api/v1/plugins": lambda: json_answer(200, self._plugins()),
            "/api/v1/runs": lambda: json_answer(200, self._kept_view("runs", views.runs_view)),
            "/api/v1/explain": lambda: self._explain(query),
        }
        page = pages.get(path)
        name = path.removeprefix("/page/")
        if page is None and name in FILES:
            return 200, FILES[name], file(name)
        if page is None:
            return json_answer(404, {"error": f"nothing at {path}"})
        try:
            return page()
        except TimeoutError:
            return json_answer(503, {"error": "the engine is busy"})

    def _kept_view(self, name: str, view: Callable[[NodeState, Instant], Any]) -> Any:
        return self._keep(name, lambda: self._agent.engine.ask(view))

    def _plugins(self) -> list[dict[str, Any]]:
        """Return all plugins, asked for a few at a time: a thousand at once would hold the engine up."""
        return cast("list[dict[str, Any]]", self._keep("plugins", self._ask_plugins))

    def _ask_plugins(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            start = len(found)
            found += self._agent.engine.ask(lambda state, now, start=start: views.plugins_view(state, now, start, PART))  # type: ignore[misc]
            if len(found) < start + PART:
                return found

    def _keep(self, name: str, make: Callable[[], Any]) -> Any:
        with self._lock:
            made_s, kept = self._kept.get(name, (0.0, None))
            if kept is None or time.monotonic() - made_s > FRESH_S:
                kept = make()
                self._kept[name] = (time.monotonic(), kept)
            return kept

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
        shown = self._shown()
        # the time of the question changes by itself and is no news
        told = render_main(replace(shown, status={**shown.status, "now": shown.status["now"][:10]}, now_ns=0))
        return hashlib.sha256(told.encode()).hexdigest()

    def _page(self) -> Answer:
        return 200, "text/html; charset=utf-8", render(self._shown()).encode()

    def _shown(self) -> Shown:
        plugins = self._plugins()
        goals = self._kept_view("goals", views.goals_view)
        return Shown(self._status_value(), goals, plugins, self._agent.history.runs(), self._agent.clock.now().ts_ns)

    def _status(self) -> Answer:
        return json_answer(200, self._status_value())

    def _status_value(self) -> dict[str, Any]:
        agent = self._agent
        ages = agent.supervisor.ages()
        return {
            "version": __version__,
            "started": views.when(agent.started.ts_ns),
            **self._kept_view("status", views.status_view),
            "ready": not agent.not_ready(),
            "waiting_for": agent.not_ready(),
            "connections": agent.connections(),
            "connected_since": {each.name: views.when(each.since_ns) for each in agent.peers.look()},
            "alarms": [_alarm(alarm) for alarm in agent.alarms.open()],
            "mailbox": {"depth": agent.mailbox.depth, "dropped": agent.mailbox.dropped},
            "outbox": {"waiting": agent.dispatcher.outbox.waiting, "dropped": agent.dispatcher.outbox.dropped},
            "kube_requests_waiting": agent.dispatcher.kube.waiting,
            "threads": {
                name: {"age_s": round(age_s, 1), "limit_s": limit_s} for name, (age_s, limit_s) in ages.items()
            },
        }

    def _explain(self, query: dict[str, str]) -> Answer:
        plugin = query.get("plugin", "")
        if not plugin:
            return json_answer(400, {"error": "say which plugin: /api/v1/explain?plugin=NAME"})
        try:
            view = self._agent.engine.ask(lambda state, now: explain_view(state, now, plugin, query.get("job", "")))
        except UnknownPluginError as error:
            return json_answer(404, {"error": str(error)})
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
        try:
            verdicts = self._kept_view("verdicts", metrics.rules_by_verdict)
        except TimeoutError:
            verdicts = None
        return 200, metrics.CONTENT_TYPE, metrics.render(self._agent, verdicts).encode()


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
