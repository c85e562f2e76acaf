"""`edgesched config --show`: the effective configuration, each value with its origin.

Takes the flags of `edgesched run`, so that the line of a unit file can be asked what it means.
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace, _SubParsersAction

from edgesched.core.shown import shown
from edgesched.node.config import load_config, show_config


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    about = "Print the effective configuration, each value with its origin."
    commands.add_parser("config", description=about, usage="edgesched config --show [--json] [FLAGS]", raw=True)


def run(arguments: Namespace) -> int:
    """Print a line a setting: name, value, origin; or one JSON object."""
    as_json = "--json" in arguments.rest
    flags = [argument for argument in arguments.rest if argument not in {"--show", "--json"}]
    config = load_config(flags, os.environ)
    rows = show_config(config)
    if as_json:
        print(json.dumps({name: {"value": value, "origin": origin} for name, value, origin in rows}, indent=2))
        return 0
    for name, value, origin in rows:
        print(f"{name} = {shown(_text(value))}  # {origin}")
    for note in config.notes:
        print(f"# note: {note}")
    return 0


def _text(value: object) -> str:
    if value is None or value == "":
        return "-"
    return value if isinstance(value, str) else json.dumps(value)
