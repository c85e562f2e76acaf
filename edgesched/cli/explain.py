"""`edgesched explain PLUGIN`: why a plugin did or did not run, and what has to happen next."""

from __future__ import annotations

import json
import textwrap
from argparse import ArgumentParser, Namespace, _SubParsersAction
from typing import Any, Final

from edgesched.cli.agentapi import add_url_flag, ask, why_it_is_down
from edgesched.cli.tables import WIDTH
from edgesched.core.shown import shown
from edgesched.errors import EdgeSchedError

STORY_SHOWN: Final = 20
Json = dict[str, Any]


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser("explain", description="Ask a running agent why a plugin did or did not run.")
    parser.add_argument("plugin", help="name of the plugin")
    parser.add_argument("--job", default="", metavar="ID", help="only in this job")
    parser.add_argument("--all", action="store_true", help="the whole story, not only its newest lines")
    add_url_flag(parser)


def run(arguments: Namespace) -> int:
    """Print the state, the rules with their values, what has to happen next and the story of the plugin."""
    try:
        answer = ask(arguments.url, "/api/v1/explain", plugin=arguments.plugin, job=arguments.job)
    except EdgeSchedError as error:
        raise why_it_is_down(error) from error
    if arguments.json:
        print(json.dumps(answer, indent=2))
        return 0
    shown_lines = None if arguments.all else STORY_SHOWN
    parts = [lines(plugin, answer["alarms"], shown_lines) for plugin in answer["plugins"]]
    print("\n\n".join("\n".join(part) for part in parts))
    return 0


def lines(plugin: Json, alarms: list[Json], story_shown: int | None = STORY_SHOWN) -> list[str]:
    """Return what is known of a plugin in lines of at most 80 columns."""
    job = f"job {shown(plugin['job_id'])}" + (f" ({shown(plugin['job_name'])})" if plugin["job_name"] else "")
    why = f": {shown(plugin['why'])}" if plugin["why"] else ""
    told = _wrap(f"{shown(plugin['plugin'])} of {job} is {plugin['state']}{why}")
    if plugin["remedy"]:
        told += _wrap(shown(plugin["remedy"]), "  -> ")
    runs = f"{plugin['runs']} run{'' if plugin['runs'] == 1 else 's'}"
    told.append(f"{runs}, {plugin['completed']} completed, last launch {_at(plugin['last_launch']) or 'never'}")
    for alarm in alarms:
        cause = f": {shown(alarm['cause'])}" if alarm["cause"] else ""
        told += _wrap(f"the node has an alarm: {alarm['title']}{cause}")
        told += _wrap(shown(alarm["remedy"]), "  -> ")
    for rule in plugin["rules"]:
        told += _rule(rule)
    told.append("what has to happen next:")
    for sentence in plugin["next"]:
        told += _wrap(shown(sentence, 400), "  - ")
    story = plugin["story"] if story_shown is None else plugin["story"][-story_shown:]
    if story:
        told.append("what happened (UTC):")
        for line in story:
            told += _wrap(shown(line["text"], 600), f"  {_at(line['at'])}  ")
    return told


def _rule(rule: Json) -> list[str]:
    told = _wrap(f"rule {shown(rule['rule'], 1000)}")
    reason = f": {shown(rule['reason'])}" if rule["reason"] else ""
    told += _wrap(f"is {rule['verdict']} and has fired {rule['fired']} times{reason}", "  ")
    for clause in rule["clauses"]:
        told += _wrap(_clause(clause), "  - ")
    told += [line for held in rule["blocked"] for line in _wrap(f"held: {shown(held)}", "  ")]
    for slot in rule["slots"]:
        latest = f"the slot of {_at(slot['latest'])} is {slot['latest_is']}, " if slot["latest"] else ""
        following = f"the next opens at {_at(slot['next'])}" if slot["next"] else "it opens at the next boot"
        told += _wrap(f"{shown(slot['cron'])}: {latest}{following}", "  ")
    return told


def _clause(clause: Json) -> str:
    because = "; ".join(text for text in (clause["reason"], clause["detail"]) if text)
    return f"{shown(clause['text'], 400)} is {clause['verdict']}" + (f" ({shown(because, 400)})" if because else "")


def _at(when: str | None) -> str:
    return f"{when[:10]} {when[11:19]}" if when else ""


def _wrap(text: str, indent: str = "") -> list[str]:
    if not text:
        return []
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=" " * max(2, len(indent)), break_long_words=True
    )
