"""`edgesched explain PLUGIN`: why a plugin did or did not run."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace, _SubParsersAction
from typing import Any

from edgesched.cli.agentapi import add_url_flag, ask
from edgesched.core.shown import shown


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser("explain", description="Ask a running agent why a plugin did or did not run.")
    parser.add_argument("plugin", help="name of the plugin")
    parser.add_argument("--job", default="", metavar="ID", help="only in this job")
    add_url_flag(parser)


def run(arguments: Namespace) -> int:
    """Print the state, the rules with their values, and the story of the plugin."""
    explained = ask(arguments.url, "/api/v1/explain", plugin=arguments.plugin, job=arguments.job)
    if arguments.json:
        print(json.dumps(explained, indent=2))
        return 0
    print("\n\n".join("\n".join(_lines(plugin)) for plugin in explained))
    return 0


def _lines(plugin: dict[str, Any]) -> list[str]:
    why = f": {shown(plugin['why'])}" if plugin["why"] else ""
    lines = [f"{shown(plugin['plugin'])} of job {shown(plugin['job_id'])} is {plugin['state']}{why}"]
    runs = f"{plugin['runs']} run{'' if plugin['runs'] == 1 else 's'}"
    lines.append(f"{runs}, {plugin['completed']} completed, last launch {plugin['last_launch'] or 'never'}")
    for rule in plugin["rules"]:
        reason = f": {shown(rule['reason'])}" if rule["reason"] else ""
        lines += [f"rule {shown(rule['rule'])}", f"  is {rule['verdict']}{reason}"]
        lines += [f"  {_clause(clause)}" for clause in rule["clauses"]]
        lines += [f"  held: {shown(blocked)}" for blocked in rule["blocked"]]
        if rule["next_look"]:
            lines.append(f"  can change by itself at {rule['next_look']}")
    if plugin["story"]:
        lines.append("what happened:")
        lines += [f"  {line['at']} {shown(line['text'])}" for line in plugin["story"]]
    return lines


def _clause(clause: dict[str, Any]) -> str:
    detail = f" ({shown(clause['detail'])})" if clause["detail"] else ""
    return f"{clause['verdict']}: {shown(clause['text'])}{detail}"
