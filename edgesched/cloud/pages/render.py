"""What stands on the pages. Only the public part of a job is handed in."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Row

from edgesched.cloud.jobs import JobRecord
from edgesched.cloud.lifecycle import IN_FORCE, PAST, JobState
from edgesched.cloud.pages.markup import esc, page, span_text, state_mark, table, time_mark
from edgesched.cloud.pages.timeline import timeline

MOST_JOBS: Final = 500
MOST_RUNS: Final = 50


def list_page(records: list[JobRecord], now_ns: int) -> str:
    """Return the page with all jobs, newest first; past ones at the end."""
    present = [record for record in reversed(records) if record.standing.state not in PAST]
    past = [record for record in reversed(records) if record.standing.state in PAST]
    heads = ["ID", "Name", "User", "State", "Since", "Nodes"]
    body = "<h1>Jobs</h1>\n" + table(
        "Present jobs", heads, _job_rows(present, now_ns), empty="No jobs. Make one with sesctl create."
    )
    if past:
        body += f"<details><summary>Past jobs ({len(past)})</summary>\n"
        body += table("Past jobs", heads, _job_rows(past, now_ns), empty="") + "</details>\n"
    return page("Jobs", body, live="/jobs/live")


def _job_rows(records: list[JobRecord], now_ns: int) -> list[list[str]]:
    return [
        [
            f'<a href="/jobs/{record.id}">{record.id}</a>',
            f'<a href="/jobs/{record.id}">{esc(record.name, 60) or "(no name)"}</a>',
            esc(record.owner, 40),
            state_mark(record.standing.state.value),
            esc(span_text(now_ns - record.standing.updated_ns)),
            str(len(record.document.get("nodes") or {})),
        ]
        for record in records[:MOST_JOBS]
    ]


def job_page(record: JobRecord, nodes: list[Row[Any]], runs: list[Row[Any]], now_ns: int) -> str:
    """Return the page of a job. `runs`: newest first."""
    standing = record.standing
    facts = [
        ("State", f"{state_mark(standing.state.value)} for {esc(span_text(now_ns - standing.updated_ns))}"),
        ("User", esc(record.owner)),
        ("Submitted", time_mark(standing.submitted_ns)),
        ("Started", time_mark(standing.started_ns)),
        ("Ended" if standing.state is not JobState.SUSPENDED else "Suspended", time_mark(standing.completed_ns)),
    ]
    if record.goal_id:
        facts.append(("Science goal", f"<code>{esc(record.goal_id)}</code>"))
    listed = "".join(f"<div><dt>{esc(name)}</dt><dd>{value}</dd></div>" for name, value in facts)
    title = f"Job {record.id}: {record.name or '(no name)'}"
    body = [
        f"<h1>{esc(title)}</h1>\n<dl>{listed}</dl>\n",
        "<h2>Runs</h2>\n",
        timeline(runs, _end_ns(record, runs, now_ns)),
        _failures(runs),
        _runs(runs),
        "<h2>Nodes</h2>\n",
        _nodes(record, nodes),
        "<h2>Plugins</h2>\n",
        _plugins(record, runs),
        "<h2>Science rules</h2>\n",
        _texts(record.document.get("science_rules"), "No rules: nothing ever runs."),
        "<h2>Success criteria</h2>\n",
        _texts(record.document.get("success_criteria"), "None: the job runs until it is removed."),
    ]
    return page(title, "".join(body), live=f"/jobs/{record.id}/live")


def _end_ns(record: JobRecord, runs: list[Row[Any]], now_ns: int) -> int:
    """Return where the timeline ends: now, or with the last run of a job that is out of force."""
    if record.standing.state in IN_FORCE or not runs:
        return now_ns
    return max(run.ended_ns or now_ns for run in runs)


def _failures(runs: list[Row[Any]]) -> str:
    failed = [run for run in runs if run.state in ("failed", "missed")]
    if not failed:
        return ""
    items = []
    for run in failed[:10]:
        code = f", exit code {run.exit_code}" if run.exit_code is not None else ""
        lines = "\n".join(esc(line, 500) for line in run.log.splitlines()[-20:])
        log = f"<pre>{lines}</pre>" if lines else ""
        items.append(
            f"<li>{time_mark(run.ended_ns)} {esc(run.vsn)} {esc(run.plugin)}: "
            f"<strong>{esc(run.reason) or esc(run.state)}</strong>{code}{log}</li>"
        )
    return f'<h3>Failures</h3>\n<ul class="failures">{"".join(items)}</ul>\n'


def _runs(runs: list[Row[Any]]) -> str:
    rows = [
        [
            time_mark(run.queued_ns),
            esc(run.vsn),
            esc(run.plugin, 60),
            state_mark(run.state),
            esc(span_text(run.ended_ns - (run.started_ns or run.queued_ns))) if run.ended_ns else "-",
            esc(run.reason),
        ]
        for run in runs[:MOST_RUNS]
    ]
    heads = ["Queued (UTC)", "Node", "Plugin", "State", "Took", "Reason"]
    inner = table("Last runs", heads, rows, empty="No plugin has run yet.")
    return f"<details><summary>Last runs ({len(rows)})</summary>\n{inner}</details>\n" if rows else inner


def _nodes(record: JobRecord, nodes: list[Row[Any]]) -> str:
    if not nodes:
        names = record.document.get("nodes") or {}
        return f"<p>{', '.join(esc(name) for name in list(names)[:100])}</p>\n" if names else "<p>None yet.</p>\n"
    rows = [
        [esc(row.vsn), state_mark(row.state), time_mark(row.received_ns), time_mark(row.completed_ns)] for row in nodes
    ]
    return table("Nodes of the job", ["Node", "State", "Received (UTC)", "Criteria met (UTC)"], rows, empty="")


def _plugins(record: JobRecord, runs: list[Row[Any]]) -> str:
    rows = []
    for plugin in record.document.get("plugins") or []:
        own = [run for run in runs if run.plugin == plugin["name"]]
        ended = sum(run.state == "completed" for run in own)
        failed = sum(run.state == "failed" for run in own)
        last = state_mark(own[0].state) + " " + time_mark(own[0].queued_ns) if own else "-"
        image = f"<code>{esc(plugin['plugin_spec']['image'])}</code>"
        rows.append([esc(plugin["name"], 80), image, str(ended), str(failed), last])
    return table("Plugins of the job", ["Plugin", "Image", "Completed", "Failed", "Last run"], rows, empty="None.")


def _texts(texts: list[str] | None, empty: str) -> str:
    if not texts:
        return f"<p>{esc(empty)}</p>\n"
    return "<ul>" + "".join(f"<li><code>{esc(text, 1000)}</code></li>" for text in texts) + "</ul>\n"
