"""`edgesched status`: how a running agent is."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace, _SubParsersAction
from typing import Any

from edgesched.cli.agentapi import add_url_flag, ask
from edgesched.cli.tables import table
from edgesched.core.shown import shown


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser("status", description="Ask a running agent how it is.")
    add_url_flag(parser)


def run(arguments: Namespace) -> int:
    """Print the agent's state, its jobs and its plugins."""
    status = ask(arguments.url, "/api/v1/status")
    goals = ask(arguments.url, "/api/v1/goals")
    plugins = ask(arguments.url, "/api/v1/plugins")
    if arguments.json:
        print(json.dumps({"status": status, "goals": goals, "plugins": plugins}, indent=2))
    else:
        print("\n".join(_lines(status, goals, plugins)))
    return 0


def _lines(status: dict[str, Any], goals: list[dict[str, Any]], plugins: list[dict[str, Any]]) -> list[str]:
    lines = [f"node {shown(status['vsn'])}, edgesched {shown(status['version'])}, up since {status['started']}"]
    if status["ready"]:
        lines.append("ready")
    else:
        lines.append(f"not ready: waits for {', '.join(status['waiting_for'])}")
    away = [name for name, connected in status["connections"].items() if not connected]
    if away:
        lines.append(f"away: {', '.join(away)}")
    if status["mailbox"]["dropped"]:
        lines.append(f"{status['mailbox']['dropped']} measurements were dropped: too many at a time")
    lines += ["", _goals_table(goals) if goals else "no jobs in force"]
    if plugins:
        lines += ["", _plugins_table(plugins, status["now"])]
    return lines


def _goals_table(goals: list[dict[str, Any]]) -> str:
    rows = [
        (goal["job_id"], goal["name"], goal["source"], goal["rules"], "; ".join(goal["problems"])) for goal in goals
    ]
    return table(("JOB", "NAME", "SOURCE", "RULES", "PROBLEMS"), rows)


def _plugins_table(plugins: list[dict[str, Any]], now: str) -> str:
    rows = [
        (
            plugin["plugin"],
            plugin["job_id"],
            plugin["state"],
            plugin["runs"],
            _short_time(plugin["last_launch"], now),
            _why(plugin),
        )
        for plugin in plugins
    ]
    return table(("PLUGIN", "JOB", "STATE", "RUNS", "LAST", "WHY"), rows)


def _short_time(when: str | None, now: str) -> str:
    """Return the time of day for today, else the day."""
    if not when:
        return ""
    return when[11:19] if when[:10] == now[:10] else when[:10]


def _why(plugin: dict[str, Any]) -> str:
    if plugin["why"]:
        return str(plugin["why"])
    return "; ".join(f"{rule['verdict']}: {rule['reason']}" for rule in plugin["rules"] if rule["reason"])
