"""Job files that were damaged on their way from a page into a file.

The tutorial's job stands in a shell here-document, and copies of it have lost their indentation. What is left is often
valid YAML with another meaning; a list of its consequences would help nobody, so the cause is recognised first.
"""

from __future__ import annotations

import re

from edgesched.core.findings import Finding

_SPEC_AT_MARGIN = re.compile(r"^(pluginSpec|pluginspec|plugin_spec)[ \t]*:", re.MULTILINE)
_HERE_DOCUMENT = re.compile(r"^[ \t$]*cat\b.*<<.*$", re.MULTILINE)
_END = re.compile(r"^EOF[ \t]*$", re.MULTILINE)

EXAMPLE = "examples/tutorial/myjob.yaml"


def damage(text: str) -> list[Finding]:
    """Recognise a job without indentation (`pluginSpec:` at the left margin, where no attribute of a job has that name)
    and a file that begins with the shell's command. Returns findings, none when the text looks sound.
    """
    match = _SPEC_AT_MARGIN.search(text)
    if match is None:
        return here_document(text) if _HERE_DOCUMENT.match(text.lstrip()) else []
    found = Finding(
        "error",
        "job.indentation",
        f"the job has lost its indentation: {match[1]} stands at the left margin but belongs to a plugin",
        "indent pluginSpec by 2 blanks (under `- name:`), image and args by 4, each node under nodes by 2, "
        f"as in {EXAMPLE}",
        _line(text, match.start()),
        1,
    )
    return [*here_document(text), found]


def here_document(text: str) -> list[Finding]:
    """Recognise the shell's lines around a job: `cat << EOF > FILE` before it or `EOF` behind it."""
    match = _HERE_DOCUMENT.search(text) or _END.search(text)
    if match is None:
        return []
    message = "the shell's here-document is part of the file"
    hint = "remove the lines `cat << EOF > FILE` and `EOF`"
    return [Finding("error", "job.heredoc", message, hint, _line(text, match.start()), 1)]


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1
