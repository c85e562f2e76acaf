"""What PyYAML's errors mean to a person who writes a job.

A YAML parser names the grammar rule that failed; the author needs to know which character to change. The table below
turns the errors that people meet into one sentence and one remedy; others are passed on as they are.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

import yaml


class _Mark(Protocol):
    index: int


def mark_index(mark: _Mark | None) -> int:
    """Return the character index of a mark of PyYAML, 0 without one."""
    return mark.index if mark is not None else 0


def explain(error: yaml.YAMLError) -> tuple[str, int, str, str]:
    """Return (message, character index, hint, code) of an error of PyYAML's reader, scanner or parser."""
    if isinstance(error, yaml.reader.ReaderError):
        code_point = error.character if isinstance(error.character, int) else ord(error.character[:1])
        return f"the character U+{code_point:04X} may not stand in YAML", error.position, "remove it", "yaml.character"
    if not isinstance(error, yaml.MarkedYAMLError):
        return "the text is not YAML", 0, "", "yaml.syntax"
    problem = error.problem or error.context or "unknown"
    for pattern, at_context, message, hint in _EXPLANATIONS:
        found = pattern.search(problem)
        if found:
            mark = error.context_mark if at_context and error.context_mark else error.problem_mark
            return message.format(*found.groups()), mark_index(mark), hint, "yaml.syntax"
    return f"not valid YAML: {problem}", mark_index(error.problem_mark), "", "yaml.syntax"


_EXPLANATIONS: Final[tuple[tuple[re.Pattern[str], bool, str, str], ...]] = tuple(
    (re.compile(pattern), at_context, message, hint)
    for pattern, at_context, message, hint in (
        (r"mapping values are not allowed", False, "a colon stands where no key can be",
         "quote the text if the colon belongs to it, else check the indentation of this line and the one above"),
        (r"found character '\\t'", False, "a tab stands where YAML wants blanks", "indent with blanks, not tabs"),
        (r"could not find expected ':'", True, "this line is neither a `key: value` nor a `- item`",
         "add the colon, or indent the line if it continues the one above"),
        (r"expected ',' or '(.)', but got", True, "a bracket that opens here has no matching {}",
         "close it, or quote the text"),
        (r"found unexpected end of stream|found unexpected document separator", True,
         "the quote that opens here is never closed", "close it; write '' for a quote inside single quotes"),
        (r"expected <block end>, but found '<scalar>'", False, "text follows a value that has ended",
         "quote the whole value; write '' for a quote inside single quotes"),
        (r"expected <block end>, but found", False, "this line is indented differently from the lines it belongs to",
         "give all keys of one map, and all items of one list, the same indentation"),
        (r"found character '(.)' that cannot start", False, "a value cannot begin with {}",
         "put the value into quotes"),
        (r"found unknown escape character (.*)", False, "a backslash with {} is no escape inside double quotes",
         "use single quotes, or write \\\\ for a backslash"),
        (r"expected chomping or indentation indicators", False, "text follows | or > in the same line",
         "begin the text in the next line, or put the value into quotes"),
        (r"expected alphabetic or numeric character", False, "a value cannot begin with * or &",
         "put the value into quotes"),
    )
)  # fmt: skip
