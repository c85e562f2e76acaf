"""Facts that tests set up as they need them."""

from datetime import datetime

from edgesched.core.model import Measurement, Site
from edgesched.core.rules import Bound, Verdict, compile_condition
from edgesched.core.windows import WindowStore


def ns(text: str) -> int:
    """ns of an RFC 3339 time."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000


NOW = ns("2023-03-15T10:20:30Z")
S = 1_000_000_000


class Known:
    """`runs`: last run by plugin, `claimed`: slots that are used up, `boot`: time of an open boot slot."""

    def __init__(self, *, history: bool = True, site: Site | None = None) -> None:
        self.windows = WindowStore.with_history() if history else WindowStore()
        self.site = site
        self.runs: dict[str, int] = {}
        self.claimed: set[tuple[str, int]] = set()
        self.boot: int | None = None

    def last_run(self, plugin: str) -> int | None:
        """When the plugin last ran."""
        return self.runs.get(plugin)

    def slot_claimed(self, expr: str, fire_ns: int) -> bool:
        """Whether the slot is used up."""
        return (expr, fire_ns) in self.claimed

    def boot_slot(self) -> int | None:
        """The open boot slot."""
        return self.boot


def bind(text: str, facts: Known, now_ns: int = NOW) -> Bound:
    """A condition bound to facts."""
    return compile_condition(text).bind(facts, now_ns)


def measure(facts: Known, name: str, *values: object, at: int = NOW, **meta: str) -> None:
    """Values of a series, one a second, the last one second before `at`."""
    for i, value in enumerate(values):
        facts.windows.append(Measurement(name, at - (len(values) - i) * S, value, meta), at)


def verdict(text: str, **series: list[object]) -> Verdict:
    """The verdict of a condition over some series, whose names are given with `_` for `.`."""
    facts = Known()
    bound = bind(text, facts)
    for name, values in series.items():
        measure(facts, name.replace("_", "."), *values)
    return bound.evaluate(NOW)
