"""`edgesched cloud`: the cloud scheduler, and its tokens."""

from __future__ import annotations

import json
import os
import socket
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path
from typing import TYPE_CHECKING

from edgesched.errors import ConfigError

if TYPE_CHECKING:
    from edgesched.cloud import tokens as tokens_module
    from edgesched.cloud.config import CloudConfig

MISSING = "the cloud scheduler needs more packages"


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    from edgesched.cloud.config import OPTIONS

    about = "The cloud scheduler: takes jobs, checks them, streams their goals to nodes, answers data queries."
    parser = commands.add_parser("cloud", help="the cloud scheduler", description=about)
    parser.add_argument("--config", "-config", metavar="FILE", type=Path, help="configuration file, YAML")
    for option in OPTIONS:
        if option.flag:
            names = [f"{dash}{name}" for name in (option.dashed, *option.aliases) for dash in ("--", "-")]
            value = {"nargs": "?", "const": "true"} if option.switch else {}
            parser.add_argument(*names, dest=option.field, metavar="VALUE", help=option.about, **value)  # type: ignore[arg-type]
    parser.add_argument("--listen-fd", type=int, help="listen on this inherited socket instead of --host and --port")
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when standard input is closed")
    _add_token_parser(parser.add_subparsers(dest="what", metavar="token", title="commands"))
    parser.set_defaults(usage_error=parser.error)


def _add_token_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    token = commands.add_parser("token", help="make, list and revoke tokens")
    actions = token.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="make a token and print it, once")
    whose = create.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user", metavar="NAME", help="a token for a user")
    whose.add_argument("--node", metavar="VSN", help="a token for a node: its goal stream and its events")
    create.add_argument("--nodes", metavar="VSN,...", default="", help="nodes that the user may schedule on, * for all")
    create.add_argument("--superuser", action="store_true", help="the user may act on everybody's jobs")
    listing = actions.add_parser("list", help="list tokens, not their secret")
    listing.add_argument("--json", action="store_true", help="print one JSON document")
    revoke = actions.add_parser("revoke", help="make a token useless")
    revoke.add_argument("id", type=int, metavar="ID", help="number of the token in the list")
    for parser in (create, listing, revoke):
        parser.add_argument("--data-dir", metavar="DIR", type=Path, help="folder of the cloud's database")


def run(arguments: Namespace) -> int:
    """Run the cloud, or the token command."""
    from edgesched.cloud.config import OPTIONS, load_config

    flags = {
        option.field: str(getattr(arguments, option.field))
        for option in OPTIONS
        if option.flag and getattr(arguments, option.field) is not None
    }
    config = load_config(flags, os.environ, arguments.config)
    try:
        if arguments.what == "token":
            return _run_token(arguments, config)
        from edgesched.cloud import main
    except ModuleNotFoundError as error:
        raise ConfigError(f"{MISSING}: {error.name}", hint="pip install 'edgesched[cloud]'") from error
    listening = None if arguments.listen_fd is None else socket.socket(fileno=arguments.listen_fd)
    return main.run(config, until_stdin_ends=arguments.until_stdin_ends, listening=listening)


def _run_token(arguments: Namespace, config: CloudConfig) -> int:
    from edgesched.adapters.clock import SystemClock
    from edgesched.cloud import tokens
    from edgesched.cloud.store import open_engine

    now_ns = SystemClock().now().ts_ns
    engine = open_engine(config.data_dir, config.database_url)
    try:
        with engine.begin() as connection:
            if arguments.action == "create":
                print(_described(arguments), tokens.create_token(connection, _identity(arguments), now_ns))
            elif arguments.action == "list":
                _print_list(tokens.list_tokens(connection), as_json=arguments.json)
            elif not tokens.revoke_token(connection, arguments.id, now_ns):
                print(f"edgesched: no token {arguments.id} that is not revoked already", file=sys.stderr)
                return 1
    finally:
        engine.dispose()
    return 0


def _identity(arguments: Namespace) -> tokens_module.Identity:
    from edgesched.cloud.tokens import Identity

    if arguments.node:
        return Identity("node", arguments.node)
    nodes = frozenset(name.strip().lower() for name in arguments.nodes.split(",") if name.strip())
    return Identity("user", arguments.user, nodes, arguments.superuser)


def _described(arguments: Namespace) -> str:
    if arguments.node:
        return f"token of node {arguments.node}:"
    return f"token of {'superuser' if arguments.superuser else 'user'} {arguments.user}:"


def _print_list(rows: list[tokens_module.TokenRow], *, as_json: bool) -> None:
    from edgesched.cloud.answers import time_text

    entries = [
        {
            "id": row.id,
            "kind": row.identity.kind,
            "subject": row.identity.subject,
            "nodes": sorted(row.identity.nodes),
            "superuser": row.identity.superuser,
            "created": time_text(row.created_ns),
            "revoked": time_text(row.revoked_ns),
        }
        for row in rows
    ]
    if as_json:
        print(json.dumps(entries, indent=1))
        return
    print(f"{'ID':<4} {'KIND':<5} {'SUBJECT':<20} {'NODES':<24} STATE")
    for row, entry in zip(rows, entries, strict=True):
        state = "revoked" if entry["revoked"] else "superuser" if entry["superuser"] else "good"
        nodes = ",".join(sorted(row.identity.nodes))
        print(f"{row.id:<4} {row.identity.kind:<5} {row.identity.subject:<20} {nodes:<24} {state}")
