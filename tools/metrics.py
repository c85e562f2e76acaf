"""`python -m tools.metrics`: writes docs/metrics.md, the table of all metrics, from the code."""

from __future__ import annotations

from pathlib import Path

from edgesched.node.metrics import HTTP_BUCKETS, KUBE_BUCKETS, TABLE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
HEAD = """\
# Metrics

What `/metrics` tells Prometheus; a test holds this page to the code (`make docs-metrics`). Times are in seconds.
Reasons are labels without their details, 30 of a kind at most, the rest is `other`. `process_*` (memory, CPU, files,
start) are those of the Prometheus client library. What to alert on: [for operators](operators.md#what-it-tells-others).

| metric | kind | label | tells |
|---|---|---|---|
"""


def text() -> str:
    """Return the page."""
    rows = "".join(
        f"| `{name}` | {row.kind} | {f'`{row.label}`' if row.label else ''} | {row.about} |\n"
        for name, row in TABLE.items()
    )
    buckets = "".join(
        f"\nBuckets of `{name}`: {', '.join(f'{bound:g}' for bound in bounds)}.\n"
        for name, bounds in (
            ("edgesched_kube_request_seconds", KUBE_BUCKETS),
            ("edgesched_http_answer_seconds", HTTP_BUCKETS),
        )
    )
    return HEAD + rows + buckets


if __name__ == "__main__":
    PAGE.write_text(text())
