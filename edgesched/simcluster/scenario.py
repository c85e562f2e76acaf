"""Scenarios: a small YAML file that says what becomes of pods.

node:                       # the one node; labels and capacity are merged over the defaults
  name: sim-node
  labels: {zone: core}
  capacity: {nvidia.com/gpu: "1"}
images:                     # the first entry that matches a pod decides
- image: "*/imagesampler:*" # pattern of the plugin container's image (* ? [])
  plugin: "image-*"         # pattern of the container's name; both must match when both are given
  start_delay_s: 0.5        # from placement to the start of the container: pull and create
  run_s: 3                  # how long the container runs; null: until it is ended
  exit_code: 0              # or a list: of the first run, the second, ...; the last one repeats
  log: [taking a picture]   # lines, spread evenly over the run
  pull_error: "not found"   # the image cannot be pulled
  oom: main                 # ends as out of memory: main (exit 137) or child (exit 0, reason OOMKilled)
  on_term: 143              # exit code after SIGTERM, or ignore: runs until the grace is over
  term_s: 0                 # how long it takes to end after SIGTERM
  init_exit_code: 0         # of its init containers
  init_s: 0.1
  publish:                  # what the pod publishes while it runs
  - {name: upload, value: "https://...", meta: {filename: a.jpg}, after_s: 1, every_s: 10}
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from edgesched.errors import ConfigError
from edgesched.simcluster.quantity import parse_quantity
from edgesched.simcluster.status import Object

_Reader = Callable[[Any, str], Any]
DEFAULT_FILE: Final = Path(__file__).with_name("default.yaml")


@dataclass(frozen=True, slots=True)
class Publication:
    """A value that a pod publishes: `after_s` after its start, then each `every_s`, or once when that is 0."""

    name: str
    value: Any = 1
    meta: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a pod; see the module's docstring for each field."""

    image: str = "*"
    plugin: str = "*"
    start_delay_s: float = 0.2
    run_s: float | None = 1.0
    exit_code: tuple[int, ...] = (0,)
    log: tuple[str, ...] = ()
    pull_error: str = ""
    oom: Literal["", "main", "child"] = ""
    on_term: int | Literal["ignore"] = 143
    term_s: float = 0.0
    init_exit_code: int = 0
    init_s: float = 0.05
    publish: tuple[Publication, ...] = ()

    def matches(self, image: str, container: str) -> bool:
        """Both patterns match."""
        return fnmatch.fnmatchcase(image, self.image) and fnmatch.fnmatchcase(container, self.plugin)


@dataclass(frozen=True, slots=True)
class NodeShape:
    """The node that runs the pods. `capacity`: resource name to quantity."""

    name: str = "sim-node"
    labels: Mapping[str, str] = field(default_factory=lambda: {"zone": "core"})
    capacity: Mapping[str, str] = field(default_factory=lambda: {"cpu": "4", "memory": "8Gi", "pods": "110"})


@dataclass(frozen=True, slots=True)
class Scenario:
    """A node and the outcomes of what runs on it."""

    outcomes: tuple[Outcome, ...] = ()
    node: NodeShape = field(default_factory=NodeShape)

    def outcome(self, pod: Object) -> Outcome:
        """The first matching outcome; a pod that nothing matches runs for a second and succeeds."""
        container = pod["spec"]["containers"][0]
        for outcome in self.outcomes:
            if outcome.matches(container["image"], container["name"]):
                return outcome
        return Outcome()


def load_scenario(path: Path = DEFAULT_FILE) -> Scenario:
    """Read a scenario file. Raises ConfigError."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the scenario {path}: {error.strerror}") from error
    return parse_scenario(content, str(path))


def parse_scenario(content: str, origin: str = "scenario") -> Scenario:
    """Read a scenario. Raises ConfigError with the place of the first mistake."""
    try:
        given = yaml.safe_load(content) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{origin} is not YAML: {' '.join(str(error).split())}") from error
    top = _mapping(given, origin)
    _known(top, {"node", "images"}, origin)
    entries = top.get("images") or []
    if not isinstance(entries, list):
        raise ConfigError(f"{origin}: images must be a list")
    outcomes = tuple(_outcome(entry, f"{origin}: images[{index}]") for index, entry in enumerate(entries))
    return Scenario(outcomes, _node(top.get("node") or {}, f"{origin}: node"))


def _mapping(given: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise ConfigError(f"{place} must be a mapping of keys to values")
    return given


def _known(given: Mapping[str, Any], names: set[str], place: str) -> None:
    for key in given:
        if key not in names:
            raise ConfigError(f"{place}: unknown key {key!r}", hint=f"known are {', '.join(sorted(names))}")


def _number(given: Any, place: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1e9:
        raise ConfigError(f"{place} must be a number of seconds, at least 0")
    return float(given)


def _exit_code(given: Any, place: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= 255:
        raise ConfigError(f"{place} must be an exit code from 0 to 255")
    return given


def _outcome(given: Any, place: str) -> Outcome:
    entry = _mapping(given, place)
    _known(entry, {item.name for item in fields(Outcome)}, place)
    readers: dict[str, _Reader] = {
        "start_delay_s": _number,
        "run_s": lambda value, at: None if value is None else _number(value, at),
        "exit_code": _exit_codes,
        "log": _lines,
        "oom": lambda value, at: _one_of(value, at, {"", "main", "child"}),
        "on_term": lambda value, at: value if value == "ignore" else _exit_code(value, at),
        "term_s": _number,
        "init_exit_code": _exit_code,
        "init_s": _number,
        "publish": _publications,
    }
    read: dict[str, Any] = {}
    for key, value in entry.items():
        reader: _Reader = readers.get(key, _word)
        read[key] = reader(value, f"{place}.{key}")
    return Outcome(**read)


def _word(given: Any, place: str) -> str:
    if not isinstance(given, str):
        raise ConfigError(f"{place} must be text")
    return given


def _one_of(given: Any, place: str, words: set[str]) -> str:
    if given not in words:
        raise ConfigError(f"{place} must be one of {', '.join(sorted(filter(None, words)))}")
    return str(given)


def _exit_codes(given: Any, place: str) -> tuple[int, ...]:
    codes = given if isinstance(given, list) and given else [given]
    return tuple(_exit_code(code, place) for code in codes)


def _lines(given: Any, place: str) -> tuple[str, ...]:
    if isinstance(given, str):
        return tuple(given.splitlines())
    if not isinstance(given, list):
        raise ConfigError(f"{place} must be a list of lines")
    return tuple(str(line) for line in given)


def _publications(given: Any, place: str) -> tuple[Publication, ...]:
    if not isinstance(given, list):
        raise ConfigError(f"{place} must be a list")
    return tuple(_publication(entry, f"{place}[{index}]") for index, entry in enumerate(given))


def _publication(given: Any, place: str) -> Publication:
    entry = _mapping(given, place)
    _known(entry, {item.name for item in fields(Publication)}, place)
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{place}: the measurement's name is missing")
    meta = {str(key): str(value) for key, value in _mapping(entry.get("meta") or {}, f"{place}.meta").items()}
    after_s = _number(entry.get("after_s", 0), f"{place}.after_s")
    every_s = _number(entry.get("every_s", 0), f"{place}.every_s")
    return Publication(name, entry.get("value", 1), meta, after_s, every_s)


def _node(given: Any, place: str) -> NodeShape:
    entry = _mapping(given, place)
    _known(entry, {item.name for item in fields(NodeShape)}, place)
    default = NodeShape()
    labels = {str(key): str(value) for key, value in _mapping(entry.get("labels") or {}, f"{place}.labels").items()}
    given_capacity = _mapping(entry.get("capacity") or {}, f"{place}.capacity")
    capacity = {str(key): str(value) for key, value in given_capacity.items()}
    for key, value in capacity.items():
        try:
            parse_quantity(value)
        except ValueError as error:
            raise ConfigError(
                f"{place}.capacity.{key}: {value!r} is no quantity", hint="write 4, 500m or 8Gi"
            ) from error
    name = _word(entry.get("name", default.name), f"{place}.name")
    return NodeShape(name, {**default.labels, **labels}, {**default.capacity, **capacity})
