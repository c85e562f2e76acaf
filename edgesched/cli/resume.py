"""`edgesched resume`: let go what was paused."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _SubParsersAction

from edgesched.cli.pause import add_scope_flags, command


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    about = "Let go what was paused under the same flags; --all lets go everything."
    add_scope_flags(commands.add_parser("resume", description=about))


def run(arguments: Namespace) -> int:
    """Ask the agent to resume and print what it did."""
    print(command(arguments, {"do": "resume"}))
    return 0
