"""`edgesched status`: how a running agent is, on one screen of 80 columns."""

from __future__ import annotations

import json
import sys
import textwrap
import threading
from argparse import ArgumentParser, Namespace, _SubParsersAction
from typing import Any, Final

from edgesched.cli.agentapi import add_url_flag, ask, why_it_is_down
from edgesched.cli.tables import WIDTH, table
from edgesched.core.shown import shown
from edgesched.errors import EdgeSchedError

CLEAR: Final = "\x1b[H\x1b[2J"
Json = dict[str, Any]


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser("status", description="Ask a running agent how it is.")
    add_url_flag(parser)
    parser.add_argument("--watch", action="store_true", help="show it again and again until Ctrl-C")
    parser.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between two looks (default 2)")


def run(arguments: Namespace) -> int:
    """Print the agent's state, what is wrong, its jobs and its plugins."""
    if not arguments.watch:
        print(_report(arguments))
        return 0
    pause = threading.Event()
    while True:
        try:
            told = _report(arguments)
        except EdgeSchedError as error:
            told = str(error)
        print(f"{CLEAR if sys.stdout.isatty() else ''}{told}", flush=True)
        pause.wait(max(0.2, arguments.every))


def _report(arguments: Namespace) -> str:
    try:
        status = ask(arguments.url, "/api/v1/status")
    except EdgeSchedError as error:
        raise why_it_is_down(error) from error
    goals = ask(arguments.url, "/api/v1/goals")
    plugins = ask(arguments.url, "/api/v1/plugins")
    if arguments.json:
        return json.dumps({"status": status, "goals": goals, "plugins": plugins}, indent=2)
    return "\n".join(lines(status, goals, plugins))


def lines(status: Json, goals: list[Json], plugins: list[Json]) -> list[str]:
    """Return the report, one line of at most 80 columns each."""
    now = status["now"]
    told = [
        f"node {shown(status['vsn'])}, edgesched {shown(status['version'])}, up since {_time(status['started'], now)}"
    ]
    told.append("ready" if status["ready"] else f"not ready: waits for {', '.join(status['waiting_for'])}")
    told += _connections(status)
    told += _traffic(status)
    for pause in status["pauses"]:
        told.append(_pause(pause, now))
    for alarm in status["alarms"]:
        told += _alarm(alarm, now)
    told.append("")
    told += [_goals_table(goals)] if goals else _no_goals(status)
    problems = [f"job {shown(goal['job_id'])}: {shown(problem)}" for goal in goals for problem in goal["problems"]]
    told += [line for problem in problems for line in _wrapped(problem, "  edit the job: edgesched check FILE")]
    if plugins:
        told += ["", _plugins_table(plugins, now)]
        told += _remedies(plugins)
    return [line for text in told for line in text.split("\n")]


def _connections(status: Json) -> list[str]:
    since = status["connected_since"]
    parts = [
        f"{name} {'since' if connected else 'AWAY since'} {_time(since[name], status['now'])}"
        for name, connected in status["connections"].items()
    ]
    return textwrap.wrap(f"connected: {', '.join(parts)}", WIDTH, subsequent_indent="  ") if parts else []


def _traffic(status: Json) -> list[str]:
    told = []
    if status["outbox"]["waiting"]:
        told.append(f"{status['outbox']['waiting']} messages wait in the outbox")
    if status["kube_requests_waiting"]:
        told.append(f"{status['kube_requests_waiting']} requests to the cluster wait")
    if status["mailbox"]["dropped"]:
        told.append(f"{status['mailbox']['dropped']} measurements were dropped: too many at a time")
    if status["foreign_pods"]:
        told.append(f"{status['foreign_pods']} pods of another scheduler run here and are left alone")
    return told


def _pause(pause: Json, now: str) -> str:
    what = " ".join(
        f"{word} {shown(pause[key])}" for word, key in (("plugin", "plugin"), ("of job", "job_id")) if pause[key]
    )
    until = f" until {_time(pause['until'], now)}" if pause["until"] else ""
    flags = "".join(
        f" --{key} {shown(pause[name])}" for key, name in (("job", "job_id"), ("plugin", "plugin")) if pause[name]
    )
    since = _time(pause["since"], now)
    return f"PAUSED: {what or 'everything'} since {since}{until}; edgesched resume{flags or ' --all'}"


def _alarm(alarm: Json, now: str) -> list[str]:
    subject = f" ({shown(alarm['subject'])})" if alarm["subject"] else ""
    cause = f": {shown(alarm['cause'])}" if alarm["cause"] else ""
    title = f"ALARM since {_time(alarm['since'], now)}: {alarm['title']}{subject}{cause}"
    return _wrapped(title, f"  {shown(alarm['remedy'])}")


def _wrapped(text: str, remedy: str) -> list[str]:
    return [
        *textwrap.wrap(text, WIDTH, subsequent_indent="  "),
        *textwrap.wrap(remedy.strip(), WIDTH, initial_indent="  -> ", subsequent_indent="     "),
    ]


def _no_goals(status: Json) -> list[str]:
    sources = status["sources"]
    asked = sum(sources.values())
    if not sources:
        return _wrapped("no jobs in force: no source has told of any yet", "name one with --job or --goalstream-url")
    told = f"no jobs in force: {', '.join(sources)} told of {asked} jobs, none for {shown(status['vsn'])}"
    return _wrapped(told, f"submit a job with {shown(status['vsn'])} under nodes, or set --node")


def _goals_table(goals: list[Json]) -> str:
    rows = [
        (
            goal["job_id"],
            goal["name"],
            goal["source"],
            goal["rules"],
            "missing, held"
            if goal["held_s"] is not None
            else f"{len(goal['problems'])} problems"
            if goal["problems"]
            else "",
        )
        for goal in goals
    ]
    return table(("JOB", "NAME", "SOURCE", "RULES", "STATE"), rows)


def _plugins_table(plugins: list[Json], now: str) -> str:
    rows = [
        (
            plugin["plugin"],
            plugin["job_id"],
            plugin["state"],
            plugin["runs"],
            _time(plugin["last_launch"], now),
            _time(plugin["next_slot"], now),
            plugin["why"],
        )
        for plugin in plugins
    ]
    return table(("PLUGIN", "JOB", "STATE", "RUNS", "LAST", "NEXT", "WHY"), rows)


def _remedies(plugins: list[Json]) -> list[str]:
    """What the table has no room for: the whole reason and the remedy of those that are held up."""
    told = []
    for plugin in plugins:
        if plugin["remedy"]:
            told += _wrapped(
                f"{shown(plugin['plugin'])} is {plugin['state']}: {shown(plugin['why'])}", shown(plugin["remedy"])
            )
    return ["", *told] if told else []


def _time(when: str | None, now: str) -> str:
    """Return the time of day for today, else the day."""
    if not when:
        return ""
    return when[11:19] if when[:10] == now[:10] else when[:10]
