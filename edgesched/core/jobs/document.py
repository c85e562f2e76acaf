"""A YAML or JSON text as a tree that remembers where everything stood.

PyYAML's events are read one by one; its composer and constructors are not used. So scalars keep their text as written
(`1.50`, `yes`, `2020-01-01` are what the reference's parser gives a text field), no tag can construct anything, no
recursion follows the input's depth, and the limits below hold before memory is spent. JSON is read as the YAML that it
nearly is. Only the first document of a stream counts. Anchors, aliases and merge keys (`<<`) work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import yaml

from edgesched.core.findings import Finding, Severity
from edgesched.core.jobs.source import Source, source_index
from edgesched.core.jobs.syntax import explain, mark_index

LONGEST_TEXT: Final = 256 * 1024
DEEPEST: Final = 32
LARGEST_EXPANSION: Final = 1024 * 1024
"""Characters of the tree with every alias written out."""
MOST_FINDINGS: Final = 100

_NOTHING: Final = frozenset(("", "~", "null", "Null", "NULL"))
_FLAG = re.compile(r"y|Y|n|N|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF")
_TRUE: Final = frozenset(("y", "yes", "true", "on"))
_NUMBER = re.compile(r"[-+]?(?:0[xob][0-9a-fA-F_]+|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+)")
_TEMPLATE = re.compile(r"\{\{[^{}\r\n]*\}\}")
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:\s|#[^\r\n]*)*)+")
_CORE_TAG: Final = "tag:yaml.org,2002:"
_WANTED_TAGS: Final = frozenset(_CORE_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))

ScalarKind = Literal["text", "number", "flag", "nothing"]


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A value without parts. `text`: as written, quotes and escapes resolved; `kind`: what YAML 1.1 makes of it."""

    text: str
    kind: ScalarKind
    source: Source
    start: int
    end: int
    style: str = ""

    @property
    def is_true(self) -> bool:
        """The truth of a flag."""
        return self.text.lower() in _TRUE

    def place(self, offset: int | None = None) -> tuple[int, int]:
        """Return line and column of a character of the text; without an offset those of the value, quotes included."""
        if offset is None:
            return self.source.place(self.start)
        raw = self.source.text[self.start : self.end]
        return self.source.place(self.start + source_index(self.text, offset, raw, self.style))


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    source: Source
    start: int

    def place(self) -> tuple[int, int]:
        """Return line and column of its first character."""
        return self.source.place(self.start)


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """A map; keys are unique, in the file's order."""

    entries: tuple[tuple[Scalar, Node], ...]
    source: Source
    start: int

    def place(self) -> tuple[int, int]:
        """Return line and column of its first character."""
        return self.source.place(self.start)


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Document:
    """What was read. `root` is None when the text is no document; `findings` says why."""

    root: Node | None
    source: Source
    findings: tuple[Finding, ...]


def describe(node: Node) -> str:
    """Say in words what kind of value a node is."""
    if isinstance(node, Mapping):
        return "a map"
    if isinstance(node, Sequence):
        return "a list"
    return {"text": "text", "number": "a number", "flag": "true or false", "nothing": "nothing"}[node.kind]


def read_document(text: str) -> Document:
    """Read the first document of a YAML or JSON text. Never raises; every fault is a finding."""
    if len(text) > LONGEST_TEXT:
        message = f"the file has {len(text):,} characters, at most {LONGEST_TEXT:,} are read"
        return Document(None, Source(""), (Finding("error", "yaml.size", message, "split the job"),))
    source = Source(_without_json_tabs(text))
    reader = _Reader(source)
    root = reader.read()
    return Document(root, source, tuple(reader.findings))


def _without_json_tabs(text: str) -> str:
    """Replace tabs, which JSON may be indented with and YAML may not, by blanks; columns stay."""
    if "\t" not in text or not text.lstrip("\ufeff \t\r\n").startswith("{"):
        return text
    try:
        json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")


class _Refused(Exception):  # noqa: N818 - a signal inside this module
    """Ends the reading; the finding is recorded."""


@dataclass(slots=True)
class _Open:
    """A list or map whose end has not been read."""

    event: yaml.CollectionStartEvent
    nodes: list[Node] = field(default_factory=list)
    size: int = 1


class _Reader:
    """Builds the tree from events with a stack of its own."""

    def __init__(self, source: Source) -> None:
        self.findings: list[Finding] = []
        self._source = source
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._stack: list[_Open] = []
        self._root: Node | None = None

    def read(self) -> Node | None:
        try:
            self._consume(yaml.parse(self._source.text, Loader=yaml.SafeLoader))
        except yaml.YAMLError as error:
            message, index, hint, code = explain(error)
            self._find("error", code, message, index, hint)
            return None
        except _Refused:
            return None
        return self._root

    def _consume(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                break
            self._take(event)
        try:
            further = isinstance(next(events, None), yaml.DocumentStartEvent)
        except yaml.YAMLError:
            further = True
        if further:
            self._find(
                "warning", "yaml.documents", "only the first document of the file is read",
                0, "put every job into a file of its own",
            )  # fmt: skip

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._check_tag(event.tag, mark_index(event.start_mark))
            self._close(self._scalar(event), event.anchor, len(event.value) + 1)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._check_tag(event.tag, mark_index(event.start_mark))
            if len(self._stack) == DEEPEST:
                self._refuse(
                    "yaml.depth", f"more than {DEEPEST} lists and maps in one another", mark_index(event.start_mark)
                )
            self._stack.append(_Open(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._stack.pop()
            end = mark_index(event.end_mark)
            node = self._sequence(done) if isinstance(done.event, yaml.SequenceStartEvent) else self._mapping(done, end)
            self._close(node, done.event.anchor, done.size)

    def _close(self, node: Node, anchor: str | None, size: int) -> None:
        """Hand a finished node to the list or map around it."""
        if anchor is not None:
            self._anchors[anchor] = (node, size)
        if not self._stack:
            self._root = node
            return
        self._stack[-1].nodes.append(node)
        self._stack[-1].size += size
        if self._stack[-1].size > LARGEST_EXPANSION:
            self._refuse(
                "yaml.alias", "the aliases of the file expand to too much text", self._stack[-1].nodes[0].start
            )

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = event.anchor or ""
        if name not in self._anchors:
            self._refuse("yaml.alias", f"*{name} refers to no anchor &{name} above it", mark_index(event.start_mark))
        node, size = self._anchors[name]
        self._close(node, None, size)

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        quoted = event.style is not None or (event.tag or "").endswith(":str")
        kind: ScalarKind = "text"
        if not quoted:
            if event.value in _NOTHING:
                kind = "nothing"
            elif _FLAG.fullmatch(event.value):
                kind = "flag"
            elif _NUMBER.fullmatch(event.value):
                kind = "number"
        start, end = mark_index(event.start_mark), mark_index(event.end_mark)
        properties = _PROPERTIES.match(self._source.text, start, end) if event.anchor or event.tag else None
        start = properties.end() if properties else start
        return Scalar(_whole_characters(event.value), kind, self._source, start, end, event.style or "")

    def _sequence(self, done: _Open) -> Sequence:
        return Sequence(tuple(done.nodes), self._source, mark_index(done.event.start_mark))

    def _mapping(self, done: _Open, end: int) -> Mapping | Scalar:
        start = mark_index(done.event.start_mark)
        raw = self._source.text[start:end]
        if _TEMPLATE.fullmatch(raw):
            self._find(
                "error", "yaml.template", f"{raw} is a placeholder of a template", start, "put the value in its place"
            )
            return Scalar(raw, "text", self._source, start, end)
        entries: dict[str, tuple[Scalar, Node]] = {}
        merged: list[tuple[Scalar, Node]] = []
        for key, value in zip(done.nodes[::2], done.nodes[1::2], strict=True):
            if not isinstance(key, Scalar):
                self._find("error", "yaml.key", f"{describe(key)} cannot be a key", key.start, "quote it if it is text")
            elif key.text == "<<" and not key.style:
                merged += self._merged(value)
            else:
                self._enter(entries, key, value)
        for key, value in merged:
            entries.setdefault(key.text, (key, value))
        return Mapping(tuple(entries.values()), self._source, start)

    def _enter(self, entries: dict[str, tuple[Scalar, Node]], key: Scalar, value: Node) -> None:
        if key.text in entries:
            line, _ = entries[key.text][0].place()
            message = f"{key.text} is given twice, also in line {line}"
            self._find("error", "yaml.duplicate", message, key.start, "keep one of them")
        entries[key.text] = (key, value)

    def _merged(self, value: Node) -> list[tuple[Scalar, Node]]:
        maps = value.items if isinstance(value, Sequence) else (value,)
        found: list[tuple[Scalar, Node]] = []
        for item in maps:
            if isinstance(item, Mapping):
                found += item.entries
            else:
                self._find("error", "yaml.merge", f"<< takes a map, found {describe(item)}", item.start)
        return found

    def _check_tag(self, tag: str | None, index: int) -> None:
        if tag is not None and tag != "!" and tag not in _WANTED_TAGS:
            name = "!!" + tag.removeprefix(_CORE_TAG) if tag.startswith(_CORE_TAG) else tag
            self._refuse("yaml.tag", f"the tag {name[:80]} has no meaning in a job", index, "remove it")

    def _refuse(self, code: str, message: str, index: int, hint: str = "") -> None:
        self._find("error", code, message, index, hint)
        raise _Refused

    def _find(self, severity: Severity, code: str, message: str, index: int, hint: str = "") -> None:
        line, column = self._source.place(index)
        self.findings.append(Finding(severity, code, message, hint, line, column))
        if len(self.findings) >= MOST_FINDINGS:
            raise _Refused


def _whole_characters(text: str) -> str:
    """Join the surrogate pairs that JSON's escapes write, replace halves."""
    if not any("\ud800" <= char <= "\udfff" for char in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
