"""The `sesctl` command: jobs on a cloud scheduler, ours or the reference's.

Commands, flags and output are those of the reference's `sesctl`; docs/tutorial.md lists what differs. Exit codes: 0
done; 1 refused or not reachable, one line on stderr; 2 wrong usage, with the usage. Nothing is retried, everything
has a time-out. What comes from the server is shown with its control characters escaped.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from edgesched import __version__
from edgesched.adapters.clock import SystemClock
from edgesched.cli import sesctl_text as text
from edgesched.cli.sesctl_http import SchedulerClient
from edgesched.core.shown import shown
from edgesched.errors import EdgeSchedError, InputError

DEFAULT_SERVER: Final = "http://localhost:9770"
LONGEST_ERROR: Final = 4000
LARGEST_FILE: Final = 1024 * 1024
CLEAR: Final = "\x1b[H\x1b[J"
Run = Callable[[SchedulerClient, argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except EdgeSchedError as error:
        print(f"sesctl: {shown(str(error), LONGEST_ERROR)}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _run(arguments: argparse.Namespace) -> int:
    run: Run | None = getattr(arguments, "run", None)
    if run is None:
        print(f"SAGE edge scheduler client version: {__version__}")
        print("sesctl --help for more information")
        return 0
    server = arguments.server or os.environ.get("SES_HOST") or DEFAULT_SERVER
    token = arguments.token or os.environ.get("SES_USER_TOKEN", "")
    return run(SchedulerClient(server, token, debug=arguments.debug), arguments)


def _parser() -> argparse.ArgumentParser:
    # the global flags may stand before and behind the command; behind it they have no default that could undo them
    parser = argparse.ArgumentParser(prog="sesctl", description="SAGE edge scheduler client", allow_abbrev=False)
    _add_global_flags(parser, "", as_default=False)
    behind = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    _add_global_flags(behind, argparse.SUPPRESS, as_default=argparse.SUPPRESS)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")

    def command(name: str, about: str, run: Run) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about, parents=[behind], allow_abbrev=False)
        added.set_defaults(run=run, usage_error=added.error)
        return added

    command("ping", "Ping the Sage edge scheduler", ping)
    create_parser = command("create", "Create a job for submission", create)
    create_parser.add_argument("name", nargs="?", metavar="JOB_NAME")
    create_parser.add_argument("-f", "--file-path", metavar="PATH", help="Path to job file")
    edit_parser = command("edit", "Modify an existing job", edit)
    edit_parser.add_argument("id", metavar="JOB_ID")
    edit_parser.add_argument("-f", "--file-path", metavar="PATH", help="Path to the job file")
    edit_parser.add_argument("--override", action="store_true", help="Attempt to override the permission")
    submit_parser = command("submit", "Submit a job to the cloud scheduler", submit)
    submit_parser.add_argument("-j", "--job-id", metavar="JOB_ID", help="Job ID")
    submit_parser.add_argument("-f", "--file-path", metavar="PATH", help="Path to the job file")
    submit_parser.add_argument("--dry-run", action="store_true", help="Dry run the job")
    submit_parser.add_argument("--override", action="store_true", help="Attempt to override the permission")
    stat_parser = command("stat", "List jobs, or show one", stat)
    stat_parser.add_argument("-j", "--job-id", metavar="JOB_ID", help="Job ID")
    stat_parser.add_argument("-o", "--out", metavar="PATH", help="Path to save output")
    stat_parser.add_argument("-A", "--show-all", action="store_true", help="Show removed and completed jobs too")
    stat_parser.add_argument(
        "-w", "--watch", nargs="?", const=2.0, type=_interval, metavar="SECONDS", help="Show it again and again"
    )
    rm_parser = command("rm", "Remove or suspend a job", remove)
    rm_parser.add_argument("id", metavar="JOB_ID")
    rm_parser.add_argument("-s", "--suspend", action="store_true", help="Suspend the job")
    rm_parser.add_argument("-f", "--force", action="store_true", help="Remove or suspend the job forcefully")
    rm_parser.add_argument("--override", action="store_true", help="Attempt to override the permission")
    logs_parser = command("logs", "Show the last log lines that a job's runs reported", logs)
    logs_parser.add_argument("id", metavar="JOB_ID")
    logs_parser.add_argument("-n", "--runs", type=int, default=10, metavar="N", help="Show the last N runs (10)")
    command("nodes", "List nodes", nodes)
    command("token", "Show what the token may do", token)
    command("version", "Show the version of this program", version)
    return parser


def _add_global_flags(parser: argparse.ArgumentParser, default: str, *, as_default: bool | str) -> None:
    parser.add_argument(
        "--server", default=default, metavar="URL", help=f"cloud scheduler (SES_HOST, {DEFAULT_SERVER})"
    )
    parser.add_argument("--token", default=default, metavar="TOKEN", help="user token (SES_USER_TOKEN)")
    parser.add_argument("--json", action="store_true", default=as_default, help="print one JSON document")
    parser.add_argument("--debug", action="store_true", default=as_default, help="print requests to stderr")


def _interval(value: str) -> float:
    seconds = float(value)
    if not 0.2 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("write seconds from 0.2 to 3600")
    return seconds


# --- commands --------------------------------------------------------------------------------------------------------


def ping(client: SchedulerClient, arguments: argparse.Namespace) -> int:
    """`sesctl ping`."""
    del arguments
    return _print_message(client.get("/"))


def create(client: SchedulerClient, arguments: argparse.Namespace) -> int:
    """`sesctl create`."""
    if arguments.file_path:
        return _print_message(_upload(client, "/api/v1/create", arguments.file_path))
    if not arguments.name:
        arguments.usage_error("Please specify job name")
    return _print_message(client.get("/api/v1/create", name=arguments.name))


def edit(client: SchedulerClient, arguments: argparse.Namespace) -> int:
    """`sesctl edit`."""
    if not arguments.file_path:
        arguments.usage_error("Interactive job editing is not supported. Please use -f to change job.")
    override = _go(arguments.override)
    return _print_message(_upload(client, "/api/v1/edit", arguments.file_path, id=arguments.id, override=override))


def submit(client: SchedulerClient, arguments: argparse.Namespace) -> int:
    """`sesctl submit`."""
    dry_run, override = _go(arguments.dry_run), _go(arguments.override)
    if arguments.job_id:
        answer = client.get("/api/v1/submit", dryrun=dry_run, id=arguments.job_id, override=override)
    elif arguments.file_path:
        answer = _upload(client, "/api/v1/submit", arguments.file_path, dryrun=dry_run, override=override)
    else:
        arguments.usage_error("Either --job-id or --file-path should be provided.")
    return _print_message(answer)


def stat(client: SchedulerClient, arguments: argparse.Namespace) -> int:
    """`sesctl stat`."""
    if arguments.out and not arguments.job_id:
        arguments.usage_error("--out needs --job-id")
    while True:
        shown_text = _stat_text(client, arguments)
        if arguments.watch is not None and sys.stdout.isatty():
            sys.stdout.write(CLEAR)
        sys.stdout.write(shown_text)
        sys.stdout.flush()
        if arguments.watch is None:
            return 0
        threading.Event().wait(arguments.watch)


def _stat_text(client: SchedulerClient, arguments: argparse.Namespace) -> str:
    if not arguments.job_id:
        jobs = client.get("/api/v1/jobs/list")
        now_ns = SystemClock().now().ts_ns
        return (
            text.json_document(jobs) if arguments.json else text.job_table(jobs, now_ns, everything=arguments.show_all)
        )
    job = client.get(f"/api/v1/jobs/{_segment(arguments.job_id)}/status")
    if arguments.out:
        _write_file(Path(arguments.out), text.job_file(job))
        return ""
    return text.json_document(job) if arguments.json else text.job_details(job)


def remove(client: SchedulerClient, arguments: argparse.Namespace) -> int:
    """`sesctl rm`."""
    answer = client.get(
        f"/api/v1/jobs/{_segment(arguments.id)}/rm",
        force=_go(arguments.force),
        override=_go(arguments.override),
        suspend=_go(arguments.suspend),
    )
    return _print_message(answer)


def logs(client: SchedulerClient, arguments: argparse.Namespace) -> int:
    """`sesctl logs`."""
    found = client.get(f"/api/v1/jobs/{_segment(arguments.id)}/runs")
    sys.stdout.write(text.json_document(found) if arguments.json else text.run_logs(found, arguments.runs))
    return 0


def nodes(client: SchedulerClient, arguments: argparse.Namespace) -> int:
    """`sesctl nodes`."""
    found = client.get_list("/api/v1/nodes")
    now_ns = SystemClock().now().ts_ns
    sys.stdout.write(text.json_document(found) if arguments.json else text.node_table(found, now_ns))
    return 0


def token(client: SchedulerClient, arguments: argparse.Namespace) -> int:
    """`sesctl token`."""
    found = client.get("/api/v1/token")
    sys.stdout.write(text.json_document(found) if arguments.json else text.token_text(found))
    return 0


def version(client: SchedulerClient, arguments: argparse.Namespace) -> int:
    """`sesctl version`."""
    del client, arguments
    print(f"sesctl {__version__}")
    return 0


def _print_message(answer: Any) -> int:
    sys.stdout.write(text.json_document(answer))
    return 0


def _upload(client: SchedulerClient, path: str, file: str, **query: str) -> Any:
    try:
        size = Path(file).stat().st_size
        if size > LARGEST_FILE:
            raise InputError(f"{file} has {size} bytes, at most {LARGEST_FILE} are sent")
        content = Path(file).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    kinds = {".json": "application/json", ".yaml": "application/yaml", ".yml": "application/yaml"}
    return client.post(path, content, kinds.get(Path(file).suffix, "application/octet-stream"), **query)


def _write_file(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _segment(value: str) -> str:
    return quote(value, safe="")


def _go(value: bool) -> str:
    return "true" if value else "false"


if __name__ == "__main__":
    sys.exit(main())
