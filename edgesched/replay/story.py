"""What happened in a replay: what fired when and why, what was missed, and when each rule was true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgesched.core.plan.effects import Effect, Report
from edgesched.core.plan.state import RuleState

MOST_SPELLS: Final = 200_000
MOST_ENTRIES: Final = 1_000_000


@dataclass(slots=True)
class Firing:
    """One action of a rule.

    `why`: the condition that was true. `slot`: the cron slot that it served, `values`: what the condition read, both
    empty when there were none. `launched_ns` and `ended_ns` of a plugin's run; `outcome`: `completed`, `failed`,
    `missed`, `running` at the end of the replay, `done` for `publish` and `set`.
    """

    ts_ns: int
    action: str
    object: str
    why: str
    slot: str = ""
    values: str = ""
    value: str = ""
    launched_ns: int | None = None
    ended_ns: int | None = None
    outcome: str = "done"
    reason: str = ""


@dataclass(slots=True)
class Missed:
    """A cron slot that no run served."""

    ts_ns: int
    plugin: str
    slot: str
    cron: str
    reason: str


@dataclass(slots=True)
class Spell:
    """A time during which a rule's verdict stayed the same. `value`: True, False, None for unknown."""

    from_ns: int
    to_ns: int
    value: bool | None
    reason: str = ""


@dataclass(slots=True)
class RuleStory:
    """One rule: how often it acted, and its verdicts over time."""

    text: str
    action: str = ""
    object: str = ""
    condition: str = ""
    names: tuple[str, ...] = ()
    fired: int = 0
    spells: list[Spell] = field(default_factory=list)

    def total_s(self, value: bool | None) -> float:
        """Return for how long the verdict was `value`."""
        return sum(spell.to_ns - spell.from_ns for spell in self.spells if spell.value is value) / 1e9


@dataclass(slots=True)
class Story:
    """Everything worth telling; filled by `hear` and `watch`, ended by `close`."""

    firings: list[Firing] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    rules: list[RuleStory] = field(default_factory=list)
    cut: bool = False
    _by_rule: dict[int, RuleStory] = field(default_factory=dict)
    _runs: dict[str, Firing] = field(default_factory=dict)

    def hear(self, effect: Effect, now_ns: int) -> None:
        """Take an effect; only decisions are of interest."""
        if not isinstance(effect, Report):
            return
        fields = effect.fields
        if effect.event == "plugin.queued":
            self._queued(fields, now_ns)
        elif effect.event.startswith("plugin."):
            self._run_changed(effect.event.removeprefix("plugin."), fields, now_ns)
        elif effect.event == "rule.published":
            self._acted(Firing(now_ns, "publish", _text(fields, "name"), _text(fields, "rule")), fields)
        elif effect.event == "rule.set":
            self._acted(Firing(now_ns, "set", _text(fields, "key"), _text(fields, "rule")), fields)
        elif effect.event == "slot.missed":
            self.missed.append(Missed(now_ns, *(_text(fields, name) for name in ("plugin", "slot", "cron", "reason"))))
        elif effect.event in ("rule.error", "rule.refused"):
            self.problems.append(f"{_text(fields, 'rule')}: {_text(fields, 'reason')}")

    def launched(self, run_id: str, now_ns: int) -> None:
        """The pod of a run was asked for."""
        firing = self._runs.get(run_id)
        if firing is not None:
            firing.launched_ns = now_ns
            firing.outcome = "running"

    def watch(self, rules: Iterable[RuleState], now_ns: int) -> None:
        """Look at the verdicts after a step."""
        for rule in rules:
            verdict = rule.verdict
            if verdict is None:
                continue
            story = self._by_rule.get(rule.rule_id)
            if story is None:
                asked = rule.rule
                story = RuleStory(asked.text, asked.action, asked.object, asked.condition, rule.names)
                self._by_rule[rule.rule_id] = story
                self.rules.append(story)
            story.fired = rule.fired
            spells = story.spells
            if spells and spells[-1].value is verdict.value:
                continue
            if spells:
                spells[-1].to_ns = now_ns
            if len(spells) < MOST_SPELLS:
                spells.append(Spell(now_ns, now_ns, verdict.value, verdict.reason if verdict.value is None else ""))
            else:
                self.cut = True

    def close(self, now_ns: int) -> None:
        """End the story: what is still going on lasts until now."""
        for rule in self.rules:
            if rule.spells:
                rule.spells[-1].to_ns = now_ns

    def _queued(self, fields: Mapping[str, Any], now_ns: int) -> None:
        why = _text(fields, "reason").removeprefix("triggered by ")
        firing = Firing(now_ns, "schedule", _text(fields, "plugin"), why, outcome="waiting")
        firing.slot = _text(fields, "slot")
        self._runs[_text(fields, "run")] = firing
        self._acted(firing, fields)

    def _acted(self, firing: Firing, fields: Mapping[str, Any]) -> None:
        firing.values = _text(fields, "values")
        firing.value = _text(fields, "value")
        if len(self.firings) < MOST_ENTRIES:
            self.firings.append(firing)
        else:
            self.cut = True

    def _run_changed(self, what: str, fields: Mapping[str, Any], now_ns: int) -> None:
        firing = self._runs.get(_text(fields, "run"))
        if firing is None:
            if what == "failed":
                self.problems.append(f"{_text(fields, 'plugin_name')}: {_text(fields, 'reason')}")
            return
        if what in ("complete", "failed", "missed"):
            firing.ended_ns = now_ns
            firing.outcome = "completed" if what == "complete" else what
            firing.reason = _text(fields, "reason")


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else str(value)
