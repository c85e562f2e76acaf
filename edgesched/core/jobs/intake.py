"""Goal JSON from a cloud scheduler or a ConfigMap: take what is good, name what is not.

The sender is another program of another version, so the reading is lenient: keys in any case and with or without
underscores, `null` for an empty list, numbers where a text belongs. A fault costs the smallest part that holds it (a
rule, a plugin, a sub-goal, a goal), never its neighbours. Only a text that is no JSON list at all is refused, so a
cut or garbled answer cannot be taken for an empty list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from edgesched.core.findings import Finding
from edgesched.core.jobs.goal import content_id
from edgesched.core.jobs.keys import SPEC
from edgesched.core.model import Plugin, PluginSpec, ScienceGoal, SubGoal
from edgesched.errors import GoalError

LARGEST_LIST: Final = 8 * 1024 * 1024
MOST_GOALS: Final = 10_000
_MOST_FINDINGS: Final = 50
_HALF_CHARACTERS = re.compile("[\ud800-\udfff]")
_SERVER_KEYS: Final = frozenset(("goalid", "jobid"))

_T = TypeVar("_T")
_Json = object


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def goals_from_json(content: str | bytes) -> tuple[list[ScienceGoal], list[Finding]]:
    """Read a JSON list of goals (or `null`).

    Returns the goals, and findings whose messages begin with a field path such as `goals[2].sub_goals[0].name`: an
    error for each part that was left out, one warning for all unknown keys. Of two goals of one job the last counts.

    Raises: GoalError when the text is no JSON list.
    """
    items = _load(content)
    reader = _Reader()
    goals: dict[str, ScienceGoal] = {}
    for index, item in enumerate(items):
        goal = reader.guard(reader.goal, item, f"goals[{index}]")
        if goal is None:
            continue
        if goals.pop(goal.job_id, None) is not None:
            reader.warn("goal.duplicate", f"goals[{index}]: a second goal of job {goal.job_id}, the last one counts")
        goals[goal.job_id] = goal
    return list(goals.values()), reader.all_findings()


def _load(content: str | bytes) -> list[_Json]:
    if len(content) > LARGEST_LIST:
        raise GoalError(f"the list of goals has {len(content):,} bytes, at most {LARGEST_LIST:,} are read")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        value = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except UnicodeDecodeError as error:
        raise GoalError(f"the list of goals is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        hint = "the text may be cut short" if error.pos >= len(error.doc.rstrip()) else ""
        raise GoalError(
            f"the list of goals is not JSON: {error.msg}", hint=hint, line=error.lineno, column=error.colno
        ) from error
    except RecursionError as error:
        raise GoalError("the list of goals is nested too deeply") from error
    if value is None:
        return []
    if not isinstance(value, list):
        raise GoalError(f"goals must be a JSON list, found {_describe(value)}", path="goals")
    if len(value) > MOST_GOALS:
        raise GoalError(f"{len(value):,} goals, at most {MOST_GOALS:,} are read", path="goals")
    return value


class _Reader:
    """Reads values by path; collects what was wrong."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._left_out = 0
        self._unknown: list[str] = []

    def guard(self, read: Callable[[_Json, str], _T], value: _Json, path: str) -> _T | None:
        """Read a part; when it is wrong, record why and return None."""
        try:
            return read(value, path)
        except GoalError as error:
            self._add(Finding("error", error.code, f"{error.path}: {error.message}", error.hint))
            return None

    def warn(self, code: str, message: str) -> None:
        self._add(Finding("warning", code, message))

    def all_findings(self) -> list[Finding]:
        findings = list(self._findings)
        if self._left_out:
            findings.append(Finding("warning", "goal.more", f"{self._left_out} more findings"))
        if self._unknown:
            shown = ", ".join(self._unknown[:5]) + (", ..." if len(self._unknown) > 5 else "")
            findings.append(
                Finding("warning", "goal.key.unknown", f"{len(self._unknown)} unknown keys ignored: {shown}")
            )
        return findings

    def goal(self, value: _Json, path: str) -> ScienceGoal:
        fields = self._fields(value, path, ("id", "job_id", "name", "sub_goals", "conditions"))
        goal_id = _text(fields.get("id"), f"{path}.id")
        job_id = _text(fields.get("job_id"), f"{path}.job_id")
        if not goal_id and not job_id:
            raise GoalError("it has neither id nor job_id", path=path)
        if not job_id:
            job_id = goal_id
            self.warn("goal.job", f"{path}: it has no job_id, its id {goal_id} stands for it")
        goal = ScienceGoal(
            goal_id,
            job_id,
            _text(fields.get("name"), f"{path}.name"),
            self._parts(self._sub_goal, fields.get("sub_goals"), f"{path}.sub_goals"),
            self._parts(_text, fields.get("conditions"), f"{path}.conditions"),
        )
        if not goal_id:
            # left out, the job would count as removed and its pods would end
            self.warn("goal.id", f"{path}: it has no id, a hash of its content stands for it")
            goal = replace(goal, goal_id=content_id(goal))
        return goal

    def _sub_goal(self, value: _Json, path: str) -> SubGoal:
        fields = self._fields(value, path, ("name", "plugins", "science_rules"))
        name = _text(fields.get("name"), f"{path}.name")
        if not name:
            raise GoalError("it names no node", path=path)
        return SubGoal(
            name,
            self._parts(self._plugin, fields.get("plugins"), f"{path}.plugins"),
            self._parts(self._rule, fields.get("science_rules"), f"{path}.science_rules"),
        )

    def _rule(self, value: _Json, path: str) -> str:
        if isinstance(value, str):
            return _clean(value)
        return _text(self._fields(value, path, ("rule",)).get("rule"), f"{path}.rule")

    def _plugin(self, value: _Json, path: str) -> Plugin:
        fields = self._fields(value, path, ("name", "plugin_spec"))
        name = _text(fields.get("name"), f"{path}.name")
        spec = fields.get("plugin_spec")
        if not name:
            raise GoalError("the plugin has no name", path=path)
        if spec is None:
            raise GoalError("the plugin does not say what to run", path=f"{path}.plugin_spec")
        return Plugin(name, self._spec(spec, f"{path}.plugin_spec"))

    def _spec(self, value: _Json, path: str) -> PluginSpec:
        fields = self._fields(value, path, SPEC.own)
        image = _text(fields.get("image"), f"{path}.image")
        if not image:
            raise GoalError("the plugin has no image", path=f"{path}.image")
        return PluginSpec(
            image=image,
            args=tuple(
                _text(item, f"{path}.args[{index}]")
                for index, item in enumerate(_list(fields.get("args"), f"{path}.args"))
            ),
            privileged=_flag(fields.get("privileged"), f"{path}.privileged"),
            node=_text(fields.get("node"), f"{path}.node"),
            job=_text(fields.get("job"), f"{path}.job"),
            selector=_pairs(fields.get("selector"), f"{path}.selector"),
            entrypoint=_text(fields.get("entrypoint"), f"{path}.entrypoint"),
            env=_pairs(fields.get("env"), f"{path}.env"),
            develop=_flag(fields.get("develop"), f"{path}.develop"),
            resource=_pairs(fields.get("resource"), f"{path}.resource"),
            volume=_pairs(fields.get("volume"), f"{path}.volume"),
        )

    def _parts(self, read: Callable[[_Json, str], _T], value: _Json, path: str) -> tuple[_T, ...]:
        """Read each item of a list; leave out those that are wrong."""
        items = self.guard(_list, value, path) or []
        parts = (self.guard(read, item, f"{path}[{index}]") for index, item in enumerate(items))
        return tuple(part for part in parts if part is not None)

    def _fields(self, value: _Json, path: str, known: tuple[str, ...]) -> dict[str, _Json]:
        if not isinstance(value, dict):
            raise GoalError(f"must be an object, found {_describe(value)}", path=path)
        spellings = {_plain(name): name for name in known}
        fields: dict[str, _Json] = {}
        for key, item in value.items():
            plain = _plain(key)
            if plain in spellings:
                fields[spellings[plain]] = item
            elif plain not in _SERVER_KEYS:
                self._unknown.append(f"{path}.{_clean(key)[:60]}")
        return fields

    def _add(self, finding: Finding) -> None:
        if len(self._findings) < _MOST_FINDINGS:
            self._findings.append(finding)
        else:
            self._left_out += 1


def _plain(key: str) -> str:
    return key.lower().replace("_", "")


def _clean(text: str) -> str:
    """Replace halves of surrogate pairs, which no UTF-8 can hold."""
    return text if text.isascii() else _HALF_CHARACTERS.sub("\ufffd", str(text))


def _text(value: _Json, path: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(_clean(value))
    raise GoalError(f"must be a text, found {_describe(value)}", path=path)


def _flag(value: _Json, path: str) -> bool:
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    raise GoalError(f"must be true or false, found {_describe(value)}", path=path)


def _list(value: _Json, path: str) -> list[_Json]:
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise GoalError(f"must be a list, found {_describe(value)}", path=path)


def _pairs(value: _Json, path: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise GoalError(f"must be an object, found {_describe(value)}", path=path)
    return {_clean(key): _text(item, f"{path}.{key[:60]}") for key, item in value.items()}


def _describe(value: _Json) -> str:
    if isinstance(value, _Number):
        return "a number"
    return {str: "a text", bool: "true or false", list: "a list", dict: "an object"}.get(type(value), "nothing")
