"""The configuration file: YAML, one mapping, keys as in the reference.

Keys may be written in camelCase, snake_case or with dashes. Unknown keys are errors with their line: a setting that is
silently not set is worse than a program that does not start. Values are read as the text that stands there, so that
`vsn: 023` is not the number 23.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from edgesched.core.shown import shown
from edgesched.core.suggest import did_you_mean
from edgesched.node.settings import SECTIONS, Setting

LARGEST_FILE: Final = 256 * 1024
_NULLS: Final = frozenset({"", "~", "null"})


@dataclass(slots=True)
class FileValues:
    """What the file says: setting name -> (place, texts). `problems`: one line each, with file and line."""

    given: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_config_file(path: Path, settings: Iterable[Setting]) -> FileValues:
    """Read a file; a file that cannot be read is a problem too."""
    values = FileValues()
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
        if len(raw) > LARGEST_FILE:
            values.problems.append(f"{path}: larger than {LARGEST_FILE // 1024} KiB")
            return values
        root = yaml.compose(raw.decode("utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        values.problems.append(f"{path}: {error.strerror or error}")
        return values
    except UnicodeDecodeError:
        values.problems.append(f"{path}: not UTF-8 text")
        return values
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        values.problems.append(f"{path}{place}: not YAML: {shown(error.problem or error.context or 'broken')}")
        return values
    except (yaml.YAMLError, RecursionError):
        values.problems.append(f"{path}: not YAML")
        return values
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value in _NULLS):
        return values
    if not isinstance(root, yaml.MappingNode):
        values.problems.append(f"{path}:{_line(root)}: expected keys and values, such as nodeName: W023")
        return values
    _read_mapping(path, root, _by_key(settings), values)
    return values


def _by_key(settings: Iterable[Setting]) -> dict[str, Setting]:
    return {_plain(key): setting for setting in settings for key in setting.keys}


def _plain(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")


def _read_mapping(path: Path, root: yaml.MappingNode, by_key: dict[str, Setting], values: FileValues) -> None:
    for prefix, key_node, node in _entries(root):
        place = f"{path}:{_line(key_node)}"
        key = prefix + str(key_node.value)
        if isinstance(node, yaml.MappingNode) and key in SECTIONS and not prefix:
            continue
        setting = by_key.get(_plain(key))
        if setting is None:
            hint = did_you_mean(key, [*(name for each in by_key.values() for name in each.keys), *SECTIONS])
            values.problems.append(f"{place}: unknown key {shown(key)!r}" + (f" ({hint})" if hint else ""))
        elif setting.name in values.given:
            values.problems.append(f"{place}: {key} is given twice (first at {values.given[setting.name][0]})")
        else:
            texts = _texts(node, setting)
            if texts is None:
                values.problems.append(f"{place}: {key}: expected {_expected(setting)}")
            elif texts or not isinstance(node, yaml.ScalarNode):
                # an empty list is a value, null is none
                values.given[setting.name] = (place, texts)


def _entries(root: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Yield (section prefix, key, value); the entries of a section follow its own."""
    for key_node, node in root.value:
        yield "", key_node, node
        if isinstance(node, yaml.MappingNode) and key_node.value in SECTIONS:
            for inner_key, inner in node.value:
                yield f"{key_node.value}.", inner_key, inner


def _texts(node: yaml.Node, setting: Setting) -> list[str] | None:
    """Return the texts of a value, empty for null, None when it has the wrong shape."""
    if isinstance(node, yaml.ScalarNode):
        if node.value in _NULLS and node.style is None:
            return []
        return [node.value]
    if not setting.many:
        return None
    if isinstance(node, yaml.SequenceNode) and _all_scalar(node.value):
        return [item.value for item in node.value]
    if isinstance(node, yaml.MappingNode) and setting.gather is dict:
        parts = node.value
        return [f"{key.value}={part.value}" for key, part in parts] if _all_scalar(part for _, part in parts) else None
    return None


def _all_scalar(nodes: Iterable[yaml.Node]) -> bool:
    return all(isinstance(node, yaml.ScalarNode) for node in nodes)


def _expected(setting: Setting) -> str:
    if setting.gather is dict:
        return "a mapping"
    return "a value or a list of values" if setting.many else "one value"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
