"""The status page as text, from the same values that the JSON API gives."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from edgesched.node.page.markup import esc, mark, moment, table, words
from edgesched.node.page.timeline import timeline
from edgesched.node.runhistory import PastRun

Json = dict[str, Any]

MOST_SHOWN: Final = 200
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES: Final = {
    "page.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows: the values of the JSON API, lists cut to `MOST_SHOWN`, and the runs of the last 24 hours."""

    status: Json
    goals: list[Json]
    plugins: list[Json]
    other_rules: list[Json]
    runs: list[PastRun]
    now_ns: int


def file(name: str) -> bytes:
    """Return a file that the page uses."""
    return resources.files(__package__).joinpath(name).read_bytes()


def render(shown: Shown) -> tuple[str, str]:
    """Return the whole page, and what of it would be news: all but the picture, in which bars grow by themselves."""
    vsn = esc(shown.status["vsn"])
    before, after = _main(shown)
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Node {vsn}</title>\n"
        '<link rel="stylesheet" href="/page/page.css">\n<link rel="icon" href="/page/icon.svg">\n'
        '<script src="/page/live.js" defer></script>\n</head>\n<body>\n'
        f'<header><strong>Node {vsn}</strong> <span id="live" role="status"></span></header>\n'
        f'<main id="main">\n{before}{timeline(shown.runs, shown.now_ns)}{after}</main>\n</body>\n</html>\n'
    )
    return page, before + after


def _main(shown: Shown) -> tuple[str, str]:
    """Return what stands before and behind the picture. Of the time of the question only the day is in it."""
    status, now = shown.status, shown.status["now"]
    parts = [
        _summary(status),
        _alarms(status),
        "<h2>Connections</h2>\n",
        table(
            "Connections",
            ("peer", "state", "since"),
            [
                (esc(name), mark("connected" if connected else "away"), moment(status["connected_since"][name], now))
                for name, connected in status["connections"].items()
            ],
            "The agent speaks to nobody.",
        ),
        f"<p>{_outbox(status)}</p>\n",
        "<h2>Goals</h2>\n",
        _goals(shown),
        "<h2>Plugins</h2>\n",
        _plugins(shown),
        "<h2>Last 24 hours</h2>\n",
    ]
    return "".join(parts), f"<h2>Rules</h2>\n{_rules(shown)}"


def _summary(status: Json) -> str:
    waiting = ", ".join(esc(each) for each in status["waiting_for"])
    ready = mark("ready") if status["ready"] else f"{mark('not ready')}: waits for {waiting}"
    pauses = "".join(
        f"<p>{mark('paused')} {esc(pause['plugin'] or pause['job_id'] or 'everything')} since "
        f"{moment(pause['since'], status['now'])}</p>\n"
        for pause in status["pauses"]
    )
    return (
        f"<h1>Node {esc(status['vsn'])}</h1>\n<p>{ready}. edgesched {esc(status['version'])}, up since "
        f"{moment(status['started'], status['now'])}, policy {esc(status['policy'])}.</p>\n{pauses}"
    )


def _alarms(status: Json) -> str:
    if not status["alarms"]:
        return "<p>No alarms.</p>\n"
    items = "".join(
        f"<li>{mark('alarm')} since {moment(alarm['since'], status['now'])}: <strong>{esc(alarm['title'])}</strong>"
        f"{': ' + esc(alarm['cause']) if alarm['cause'] else ''}<br>{esc(alarm['remedy'])}</li>\n"
        for alarm in status["alarms"]
    )
    return f'<h2>Alarms</h2>\n<ul class="alarms">\n{items}</ul>\n'


def _outbox(status: Json) -> str:
    outbox = status["outbox"]
    lost = f", {outbox['dropped']} were lost" if outbox["dropped"] else ""
    return f"Outbox: {outbox['waiting']} messages wait{lost}. Measurements dropped: {status['mailbox']['dropped']}."


def _goals(shown: Shown) -> str:
    now = shown.status["now"]
    rows = [
        (
            f'<span class="id">{esc(goal["job_id"])}</span>',
            esc(goal["name"]),
            esc(goal["source"]),
            moment(goal["since"], now),
            str(goal["rules"]),
            esc("; ".join(goal["problems"]) or ("missing from its source, held" if goal["held_s"] is not None else "")),
        )
        for goal in shown.goals[:MOST_SHOWN]
    ]
    return table("Goals", ("job", "name", "source", "since", "rules", "problems"), rows, "No jobs are in force.")


def _plugins(shown: Shown) -> str:
    now = shown.status["now"]
    rows = [
        (
            esc(plugin["plugin"]),
            mark(plugin["state"]),
            words(esc(plugin["why"]) + (f"<br><em>{esc(plugin['remedy'])}</em>" if plugin["remedy"] else "")),
            moment(plugin["last_launch"], now),
            moment(plugin["next_slot"], now),
            str(plugin["runs"]),
            f'<span class="id">{esc(plugin["job_id"])}</span>',
        )
        for plugin in shown.plugins[:MOST_SHOWN]
    ]
    more = shown.status["plugins"] - len(rows)
    told = f"<p>and {more} more: <code>edgesched status</code> shows them all</p>\n" if more > 0 else ""
    heads = ("plugin", "state", "why", "last launch", "next slot", "runs", "job")
    return table("Plugins", heads, rows, "No plugins.") + told


def _rules(shown: Shown) -> str:
    rules = [rule for plugin in shown.plugins for rule in plugin["rules"]] + shown.other_rules
    rows = [
        (
            f"<code>{esc(rule['rule'], 1000)}</code>",
            mark(rule["verdict"]),
            words(esc(rule["reason"])),
            str(rule["fired"]),
        )
        for rule in rules[:MOST_SHOWN]
    ]
    told = "<p>The values behind a verdict: <code>edgesched explain PLUGIN</code>.</p>\n"
    return table("Rules", ("rule", "last verdict", "reason", "fired"), rows, "No rules.") + told
