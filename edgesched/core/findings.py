"""What a check found: one thing that is wrong or odd, where, and what to change.

Rules, jobs and goals all speak of their input in findings. Places count from 1; a line or column of 0 means that the
finding is about the whole text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of an input.

    `severity`: an `error` refuses the input, a `warning` does not. `code`: stable and dotted, such as
    `job.key.unknown`. `message`: one sentence without a period. `hint`: what to write instead, may be empty.
    """

    severity: Severity
    code: str
    message: str
    hint: str = ""
    line: int = 0
    column: int = 0


def has_errors(findings: Iterable[Finding]) -> bool:
    """Say whether any finding refuses the input."""
    return any(finding.severity == "error" for finding in findings)
