"""What `sesctl` prints, as pure functions of the server's documents."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Final

from edgesched.core.messages import parse_rfc3339
from edgesched.core.model import NS_PER_S
from edgesched.core.shown import shown

PAST: Final = ("Removed", "Completed")
AGEING: Final = ("Running", "Completed")
NAMESPACE: Final = "ses"
_HTML_UNSAFE: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def json_document(document: Any) -> str:
    """Write a document as the reference's `sesctl` does: one blank of indent, keys sorted, HTML-escaped."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).translate(_HTML_UNSAFE) + "\n"


def job_file(job: Mapping[str, Any]) -> str:
    """Write a job as `stat --out` saves it; the file can be uploaded again."""
    return json.dumps(job, indent=2, ensure_ascii=False).translate(_HTML_UNSAFE)


def job_table(jobs: Mapping[str, Any], now_ns: int, *, everything: bool) -> str:
    """Return the list of jobs in the order of their ids; past ones only when `everything` is asked for."""
    rows = []
    for job_id, value in sorted(jobs.items(), key=lambda item: _id_order(item[0])):
        job = _object(value)
        state = _state(job)
        if everything or state not in PAST:
            rows.append([job_id, _cell(job.get("name")), _cell(job.get("user")), state, _age(job, now_ns)])
    return columns(["JOB_ID", "NAME", "USER", "STATUS", "AGE"], rows)


def job_details(job: Mapping[str, Any]) -> str:
    """Return the details of a job."""
    state = _object(job.get("state"))
    lines = [
        "",
        "===== JOB STATUS =====",
        f"Job ID: {_cell(job.get('job_id'))}",
        f"Job Name: {_cell(job.get('name'))}",
        f"Job Owner: {_cell(job.get('user'))}",
        f"Job Status: {_state(job)}",
        f"  Last updated: {_time(state.get('last_updated')) or '0001-01-01 00:00:00 +0000 UTC'}",
    ]
    for key, word in (("last_submitted", "Submitted"), ("last_started", "Started"), ("last_completed", "Completed")):
        when = _time(state.get(key))
        if when:
            lines.append(f"  {word}: {when}")
    states = " ".join(_cell(name) for name in _list(job.get("notification_on")))
    if states:
        lines += ["", f"Notification to {_cell(job.get('email'))}", f"On [{states}]"]
    goal = _object(job.get("science_goal"))
    if goal:
        lines += ["", "===== SCHEDULING DETAILS =====", f"Science Goal ID: {_cell(goal.get('id'))}"]
        lines.append(f"Total number of nodes {len(_list(goal.get('sub_goals')))}")
    return "\n".join(lines) + "\n"


def run_logs(found: Mapping[str, Any], most: int) -> str:
    """Return the last runs of a job, oldest first, with the log lines that their events carried."""
    runs = [_object(run) for run in _list(found.get("runs"))][: max(most, 0)][::-1]
    if not runs:
        return f"job {_cell(found.get('job_id'))} has no runs yet\n"
    lines = []
    for run in runs:
        when = (_time(run.get("ended") or run.get("started") or run.get("queued")) or "")[:19]
        code = f", exit code {run['exit_code']}" if "exit_code" in run else ""
        reason = f": {_cell(run['reason'])}" if run.get("reason") else ""
        lines.append(
            f"{when} {_cell(run.get('vsn'))} {_cell(run.get('plugin'))} {_cell(run.get('state'))}{code}{reason}"
        )
        lines += [f"    {shown(line, 1000)}" for line in str(run.get("log") or "").splitlines()]
    pod = next((run for run in reversed(runs) if run.get("pod")), None)
    if pod is not None:
        lines.append(f"for more, on node {_cell(pod.get('vsn'))}: kubectl -n {NAMESPACE} logs {_cell(pod['pod'])}")
    return "\n".join(lines) + "\n"


def node_table(nodes: Sequence[Mapping[str, Any]], now_ns: int) -> str:
    """Return the list of nodes."""
    rows = []
    for node in nodes:
        heard = _ts_ns(node.get("last_heard"))
        rows.append(
            [
                _cell(node.get("vsn")),
                "yes" if node.get("may_schedule") else "no" if "may_schedule" in node else "-",
                str(node.get("goals", 0)),
                "-" if heard is None else go_duration(now_ns - heard),
                ",".join(_cell(tag) for tag in _list(node.get("tags"))) or "-",
                ",".join(_cell(name) for name in _list(node.get("sensors"))) or "-",
            ]
        )
    return columns(["VSN", "SCHEDULE", "GOALS", "HEARD", "TAGS", "SENSORS"], rows)


def token_text(found: Mapping[str, Any]) -> str:
    """Say what a token may do."""
    if found.get("kind") == "node":
        return f"token of node {_cell(found.get('vsn'))}: its goals and its events\n"
    allowed = [str(vsn) for vsn in _list(found.get("nodes"))]
    where = "every node" if "*" in allowed else ", ".join(_cell(vsn.upper()) for vsn in allowed) or "no node"
    more = "; acts on everybody's jobs with --override" if found.get("superuser") else ""
    return f"user {_cell(found.get('user'))} may schedule on {where}{more}\n"


def columns(heads: list[str], rows: list[list[str]]) -> str:
    """Lay out a table: every column but the last is padded to its longest cell and one blank."""
    widths = [max(len(row[index]) for row in [heads, *rows]) + 1 for index in range(len(heads) - 1)]
    lines = [
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + row[-1] for row in [heads, *rows]
    ]
    return "\n".join(lines) + "\n"


def go_duration(length_ns: int) -> str:
    """Return a length rounded to seconds as Go writes it: `0s`, `1m30s`, `26h3m4s`."""
    seconds = max(0, (length_ns + NS_PER_S // 2) // NS_PER_S)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _age(job: Mapping[str, Any], now_ns: int) -> str:
    updated_ns = _ts_ns(_object(job.get("state")).get("last_updated"))
    return go_duration(now_ns - updated_ns) if _state(job) in AGEING and updated_ns is not None else "-"


def _state(job: Mapping[str, Any]) -> str:
    return _cell(_object(job.get("state")).get("last_state"))


def _ts_ns(value: Any) -> int | None:
    """Read a time of the API; null, year 1 and nonsense are not set."""
    if not isinstance(value, str) or value.startswith("0001-"):
        return None
    try:
        return parse_rfc3339(value)
    except (ValueError, OverflowError):
        return None


def _time(value: Any) -> str:
    """Write a time as Go prints it, in UTC; empty when it is not set."""
    ts_ns = _ts_ns(value)
    if ts_ns is None:
        return ""
    from datetime import datetime

    seconds, fraction = divmod(ts_ns, NS_PER_S)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{whole}{decimals} +0000 UTC"


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _cell(value: Any) -> str:
    return "" if value is None else shown(str(value))


def _id_order(job_id: str) -> tuple[int, str]:
    return (int(job_id), "") if re.fullmatch(r"[0-9]{1,18}", job_id) else (2**62, job_id)
