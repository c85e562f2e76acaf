"""A job file as a `Job`, with every fault of its form.

The reference drops unknown keys without a word, so a misspelt `sciencerules` is a job that never runs. Here each key
may be written in camelCase, snake_case or lower case, and any other key is an error that names the nearest known one.
What the cloud scheduler writes into its own answers (`state`, `science_goal`, `job_id`, `user`, ...) is accepted and
ignored, so that an answer can be edited and sent back. A text field takes any scalar as it is written (`[-t, 60]`
under args, `resource.gpu: true`); lists and maps must be lists and maps, as real cloud schedulers want them.

Faults of meaning (rules, images, names) are `check.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping as ReadOnly
from dataclasses import dataclass, field

from edgesched.core.findings import Finding, Severity, has_errors
from edgesched.core.jobs.document import Document, Mapping, Node, Scalar, Sequence, describe, read_document
from edgesched.core.jobs.keys import JOB, PLUGIN, SPEC, KeySet, explain_unknown
from edgesched.core.jobs.layout import EXAMPLE, damage, here_document
from edgesched.core.model import Job, Plugin, PluginSpec

Path = tuple[str | int, ...]
"""Where a field is: `("plugins", 0, "pluginSpec", "image")`, keys in camelCase."""


def spell(path: Path) -> str:
    """Write a path as people do: `plugins[0].pluginSpec.image`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "the job"


@dataclass(frozen=True, slots=True)
class ParsedJob:
    """A job, as far as it could be read, and what is wrong with its form.

    `places` holds the node of the file for each field that is there, `keys` the key that stands before it.
    `findings` are in the file's order. `misspelt`: fields that an unknown key was probably meant for; that they are
    missing needs no saying.
    """

    job: Job
    filename: str = ""
    findings: tuple[Finding, ...] = ()
    places: ReadOnly[Path, Node] = field(default_factory=dict)
    keys: ReadOnly[Path, Scalar] = field(default_factory=dict)
    misspelt: frozenset[Path] = frozenset()

    @property
    def is_job(self) -> bool:
        """Whether the form has no error."""
        return not has_errors(self.findings)

    def place(self, *path: str | int, offset: int | None = None) -> tuple[int, int]:
        """Return line and column of a field (of a character of its text), or of the nearest field around it."""
        while path not in self.places:
            if not path:
                return 0, 0
            path, offset = path[:-1], None
        node = self.places[path]
        return node.place(offset) if isinstance(node, Scalar) else node.place()

    def key_place(self, *path: str | int) -> tuple[int, int]:
        """Return line and column of the key of a field, or of what is around it."""
        return self.keys[path].place() if path in self.keys else self.place(*path)


def parse_job(text: str, filename: str = "") -> ParsedJob:
    """Read a job from YAML or JSON. Never raises: all faults are findings, and the job holds what could be read."""
    damaged = damage(text)
    if damaged:
        return ParsedJob(Job(""), filename, tuple(damaged))
    document = read_document(text)
    reader = _Reader(document)
    if document.root is None:
        job = Job("")
        reader.findings = here_document(text) or reader.findings or [_no_job_in_file()]
    else:
        job = reader.job(document.root)
    reader.findings.sort(key=lambda finding: (finding.line, finding.column))
    return ParsedJob(job, filename, tuple(reader.findings), reader.places, reader.keys, frozenset(reader.misspelt))


class _Reader:
    """Walks the tree with the path of where it is."""

    def __init__(self, document: Document) -> None:
        self.findings = list(document.findings)
        self.places: dict[Path, Node] = {}
        self.keys: dict[Path, Scalar] = {}
        self.misspelt: set[Path] = set()

    def job(self, root: Node) -> Job:
        self.places[()] = root
        if isinstance(root, Scalar):
            self._no_job(root)
            return Job("")
        fields = self._fields(root, (), JOB)
        return Job(
            name=self._text(fields, ("name",)),
            plugins=tuple(self._plugins(fields)),
            nodes=tuple(self._nodes(fields)),
            node_tags=self._texts(fields, ("nodeTags",)),
            science_rules=self._texts(fields, ("scienceRules",)),
            success_criteria=self._texts(fields, ("successCriteria",)),
            email=self._text(fields, ("email",)),
            notification_on=self._texts(fields, ("notificationOn",)),
        )

    def _no_job(self, root: Scalar) -> None:
        if root.kind == "nothing":
            self.findings.append(_no_job_in_file(*root.place()))
        else:
            self._find(
                "job.type", f"a job is a map of attributes, found {describe(root)}", root, "begin with `name: NAME`"
            )

    def _plugins(self, fields: dict[str, Node]) -> list[Plugin]:
        plugins = []
        for index, item in enumerate(self._items(fields, ("plugins",))):
            path: Path = ("plugins", index)
            self.places[path] = item
            own = self._fields(item, path, PLUGIN)
            plugins.append(Plugin(self._text(own, (*path, "name")), self._spec(own, (*path, "pluginSpec"))))
        return plugins

    def _spec(self, fields: dict[str, Node], path: Path) -> PluginSpec:
        node = fields.get("pluginSpec")
        own = self._fields(node, path, SPEC) if node is not None and not _is_nothing(node) else {}
        return PluginSpec(
            image=self._text(own, (*path, "image")),
            args=self._texts(own, (*path, "args")),
            privileged=self._flag(own, (*path, "privileged")),
            node=self._text(own, (*path, "node")),
            job=self._text(own, (*path, "job")),
            selector=self._pairs(own, (*path, "selector")),
            entrypoint=self._text(own, (*path, "entrypoint")),
            env=self._pairs(own, (*path, "env")),
            develop=self._flag(own, (*path, "develop")),
            resource=self._pairs(own, (*path, "resource")),
            volume=self._pairs(own, (*path, "volume")),
        )

    def _nodes(self, fields: dict[str, Node]) -> list[str]:
        node = fields.get("nodes")
        if node is None or _is_nothing(node):
            return []
        if not isinstance(node, Mapping):
            self._find("job.type", f"nodes must be a map, found {describe(node)}", node,
                       "write each node as a key with a colon and nothing behind it: `W023:`")  # fmt: skip
            return []
        for key, value in node.entries:
            self.keys["nodes", key.text] = key
            self.places["nodes", key.text] = value
        return [key.text for key, _ in node.entries]

    def _fields(self, node: Node, path: Path, known: KeySet) -> dict[str, Node]:
        """Return the known fields of a map by camelCase key; report the others."""
        if not isinstance(node, Mapping):
            hint = f"known keys: {', '.join(known.own)}"
            self._find("job.type", f"{spell(path)} must be a map, found {describe(node)}", node, hint)
            return {}
        fields: dict[str, Node] = {}
        for key, value in node.entries:
            name = known.canonical(key.text)
            if name is None:
                unknown = explain_unknown(key.text, known, [other.text for other, _ in node.entries])
                self._find("job.key.unknown", unknown.message, key, unknown.hint)
                self.misspelt.add((*path, unknown.meant))
            elif name in fields:
                message = f"{key.text} is given twice, also as {self.keys[*path, name].text}"
                self._find("job.key.twice", message, key, "keep one of them")
            else:
                fields[name] = value
                self.keys[*path, name] = key
                self.places[*path, name] = value
        return {name: fields[name] for name in fields if name in known.own}

    def _text(self, fields: dict[str, Node], path: Path) -> str:
        node = fields.get(str(path[-1]))
        return "" if node is None else self._plain(node, path)

    def _plain(self, node: Node, path: Path, hint: str = "") -> str:
        if isinstance(node, Scalar):
            return "" if _is_nothing(node) else node.text
        self._find("job.type", f"{spell(path)} must be text, found {describe(node)}", node, hint)
        return ""

    def _flag(self, fields: dict[str, Node], path: Path) -> bool:
        node = fields.get(str(path[-1]))
        if node is None or _is_nothing(node):
            return False
        if isinstance(node, Scalar) and node.kind == "flag":
            return node.is_true
        quoted = isinstance(node, Scalar) and node.text.lower() in ("true", "false")
        hint = "write it without quotes" if quoted else "write true or false"
        self._find("job.type", f"{spell(path)} must be true or false, found {describe(node)}", node, hint)
        return False

    def _items(self, fields: dict[str, Node], path: Path) -> tuple[Node, ...]:
        node = fields.get(str(path[-1]))
        if node is None or _is_nothing(node):
            return ()
        if isinstance(node, Sequence):
            return node.items
        hint = "write one item a line, each after a hyphen and a blank"
        self._find("job.type", f"{spell(path)} must be a list, found {describe(node)}", node, hint)
        return ()

    def _texts(self, fields: dict[str, Node], path: Path) -> tuple[str, ...]:
        texts = []
        hint = "put the item into quotes: a colon and a blank make a map of it"
        for index, item in enumerate(self._items(fields, path)):
            self.places[*path, index] = item
            texts.append(self._plain(item, (*path, index), hint))
        return tuple(texts)

    def _pairs(self, fields: dict[str, Node], path: Path) -> dict[str, str]:
        node = fields.get(str(path[-1]))
        if node is None or _is_nothing(node):
            return {}
        if not isinstance(node, Mapping):
            self._find("job.type", f"{spell(path)} must be a map, found {describe(node)}", node,
                       "write each entry as `key: value`, without a hyphen")  # fmt: skip
            return {}
        pairs = {}
        for key, value in node.entries:
            self.keys[*path, key.text] = key
            self.places[*path, key.text] = value
            pairs[key.text] = self._plain(value, (*path, key.text))
        return pairs

    def _find(self, code: str, message: str, node: Node, hint: str = "", severity: Severity = "error") -> None:
        self.findings.append(Finding(severity, code, message, hint, *node.place()))


def _is_nothing(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind == "nothing"


def _no_job_in_file(line: int = 1, column: int = 1) -> Finding:
    return Finding("error", "job.empty", "there is no job in the file", f"see {EXAMPLE}", line, column)
