"""`edgesched pause`: stop launches on this node until they are resumed; and the way to the agent's control socket."""

from __future__ import annotations

import json
import socket
from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path
from typing import Any, Final

from edgesched.cli.lastwords import state_directory
from edgesched.core.shown import shown
from edgesched.errors import EdgeSchedError, InputError
from edgesched.node.parsing import duration_s

SOCKET: Final = "control.sock"
TIMEOUT_S: Final = 15.0
ANSWER_LIMIT: Final = 65_536


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    about = "Stop launches on this node: of a plugin, of a job, or of everything. What runs goes on unless --end."
    parser = commands.add_parser("pause", description=about)
    add_scope_flags(parser)
    parser.add_argument("--for", dest="how_long", default="", metavar="2h", help="resume by itself after this time")
    parser.add_argument("--end", action="store_true", help="end what runs, too")


def add_scope_flags(parser: ArgumentParser) -> None:
    """Add what pause and resume share."""
    parser.add_argument("--all", action="store_true", help="everything")
    parser.add_argument("--job", default="", metavar="ID", help="the plugins of this job")
    parser.add_argument("--plugin", default="", metavar="NAME", help="this plugin; with --job only the one of that job")
    parser.add_argument("--state-dir", type=Path, default=None, metavar="DIR", help="the agent's state directory")


def run(arguments: Namespace) -> int:
    """Ask the agent to pause and print what it did."""
    for_s = None
    if arguments.how_long:
        try:
            for_s = duration_s(arguments.how_long)
        except ValueError as error:
            raise InputError(f"--for: {error}") from error
    print(command(arguments, {"do": "pause", "for_s": for_s, "end": arguments.end}))
    return 0


def command(arguments: Namespace, request: dict[str, Any]) -> str:
    """Send a request with the scope of the flags and return what the agent says. Raises EdgeSchedError."""
    if arguments.all == bool(arguments.job or arguments.plugin):
        raise InputError("say what: --all, --job ID, --plugin NAME, or the latter two together")
    path = (arguments.state_dir or state_directory()) / SOCKET
    line = json.dumps({**request, "job": arguments.job, "plugin": arguments.plugin}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as to:
            to.settimeout(TIMEOUT_S)
            to.connect(str(path))
            to.sendall(line)
            with to.makefile("rb") as answers:
                answer = json.loads(answers.readline(ANSWER_LIMIT))
    except PermissionError as error:
        raise EdgeSchedError(f"{path} is not open to you", hint="ask as root or as the agent's user: sudo") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "is it running with a --state-dir? name that one here, or log in to its pod"
        raise EdgeSchedError(f"no agent answers at {path}: {reason}", hint=hint) from error
    if "error" in answer:
        raise EdgeSchedError(shown(str(answer["error"]), 1000))
    return shown(str(answer["done"]), 1000)
