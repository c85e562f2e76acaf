"""The `edgesched` command: finds the subcommand, imports only that one, and turns errors into one line and a code.

Exit codes: 0 success; 1 the answer is no or the request failed; 2 wrong usage; 130 interrupted. An error of this
project is one line on stderr; a traceback appears only with `--debug`, because it tells a user nothing.

Every module `edgesched.cli.COMMAND` has `add_parser(commands)`, which adds its parser to the subparsers, and
`run(arguments) -> int`. They import what they need when they run: `edgesched check` must not load Kubernetes.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from edgesched import __version__
from edgesched.cli.parsers import Parser
from edgesched.core.shown import shown
from edgesched.core.suggest import did_you_mean
from edgesched.errors import EdgeSchedError

COMMANDS: Final = {
    "run": "the node agent",
    "standalone": "agent, broker, sensors and cluster in one process tree on this machine",
    "check": "check job files",
    "eval": "evaluate a condition",
    "replay": "run a job against recorded measurements",
    "status": "ask a running agent how it is",
    "explain": "ask a running agent why a plugin did or did not run",
    "pause": "stop launches on this node",
    "resume": "let go what was paused",
    "cloud": "the cloud scheduler",
    "config": "the effective configuration",
    "version": "the version of this program",
}
LONGEST_ERROR: Final = 1000
DEBUG_FLAGS: Final = frozenset({"--debug", "-debug", "--debug=true", "-debug=true"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except EdgeSchedError as error:
        if DEBUG_FLAGS & set(arguments):
            raise
        for problem in getattr(error, "problems", (str(error),)):
            print(f"edgesched: {shown(problem, LONGEST_ERROR)}", file=sys.stderr)
        return 2 if getattr(error, "usage", False) else 1
    except OSError as error:
        if DEBUG_FLAGS & set(arguments):
            raise
        told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"edgesched: {shown(told, LONGEST_ERROR)}", file=sys.stderr)
        return 1


def _run(arguments: list[str]) -> int:
    name = arguments[0] if arguments else ""
    if name and not name.startswith("-") and name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS)
        print(f"edgesched: unknown command {shown(name)!r}{f' ({hint})' if hint else ''}", file=sys.stderr)
        return 2
    parser = Parser(prog="edgesched", description="An edge scheduler for Waggle nodes.")
    parser.add_argument("--version", action="version", version=f"edgesched {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    module = None
    for command, about in COMMANDS.items():
        if command == name and command != "version":
            module = importlib.import_module(f"edgesched.cli.{command}")
            module.add_parser(commands)
        else:
            commands.add_parser(command, help=about)
    parsed = parser.parse_args(arguments)
    if parsed.command == "version":
        print(f"edgesched {__version__}")
        return 0
    if module is None:
        parser.print_help(sys.stderr)
        return 2
    return int(module.run(parsed))


if __name__ == "__main__":
    sys.exit(main())
