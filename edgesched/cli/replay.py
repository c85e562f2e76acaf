"""`edgesched replay`: what a job would have done on recorded measurements, when and why."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _SubParsersAction
from pathlib import Path
from typing import Final

from edgesched.cli.check import check_file, format_finding
from edgesched.core.jobs import job_to_goal
from edgesched.core.model import HOUR_NS, NS_PER_S, Job, ScienceGoal, Site
from edgesched.core.shown import shown
from edgesched.errors import InputError
from edgesched.replay.moments import parse_moment

PICTURES: Final = (".svg", ".png")


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    about = "Run a job against recorded measurements with a virtual clock: what would have fired, when, why."
    parser = commands.add_parser("replay", help="run a job against recorded measurements", description=about)
    parser.add_argument("job", metavar="JOB", help="job file in YAML or JSON")
    parser.add_argument("--measurements", metavar="NDJSON", help="recorded measurements, plain or gzip; - is stdin")
    parser.add_argument("--from", dest="from_ns", type=_moment, metavar="T", help="begin (RFC 3339; first measurement)")
    parser.add_argument("--to", dest="to_ns", type=_moment, metavar="T", help="end (RFC 3339; last measurement)")
    parser.add_argument("--node", metavar="VSN", help="node to be (the job's first node)")
    parser.add_argument("--site", type=_site, metavar="LAT,LON", help="position of the node, for sun times")
    parser.add_argument("--run-time", type=_seconds, default=30.0, metavar="S", help="how long plugins run (30 s)")
    parser.add_argument("--plot", metavar="FILE", help="write a picture, .svg or .png")
    parser.add_argument("--rows", type=int, default=200, metavar="N", help="rows of the table (200; 0: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(usage_error=parser.error)


def run(arguments: Namespace) -> int:
    """Replay and report."""
    if arguments.plot and Path(arguments.plot).suffix.lower() not in PICTURES:
        arguments.usage_error(f"--plot takes a file that ends in {' or '.join(PICTURES)}")
    if arguments.rows < 0:
        arguments.usage_error("--rows takes 0 or more")
    checked = check_file(arguments.job)
    for finding in checked.findings:
        if finding.severity == "error":
            print(format_finding(shown(arguments.job), finding), file=sys.stderr)
    if not checked.ok:
        return 1
    vsn = arguments.node or next(iter(checked.job.nodes), "W000")
    return _replay(arguments, checked.job, job_to_goal(checked.job, job_id="replay", nodes=(vsn,)), vsn)


def _replay(arguments: Namespace, job: Job, goal: ScienceGoal, vsn: str) -> int:
    from edgesched.core.plan.settings import PlanSettings
    from edgesched.replay.cluster import PodLives
    from edgesched.replay.driver import names_read, replay
    from edgesched.replay.history import History, read_history
    from edgesched.replay.moments import Span
    from edgesched.replay.report import document, table

    settings = PlanSettings(vsn=vsn, site=arguments.site)
    history = read_history(arguments.measurements, names=names_read(goal)) if arguments.measurements else History()
    span = Span(*_span(arguments, history.first_ns, history.last_ns))
    lives = PodLives(vsn, run_s=arguments.run_time)
    story = replay(goal, settings, history.measurements, span, lives, observed_since_ns=history.first_ns)
    if arguments.json:
        report = {"job": job.name, **document(story, span, vsn)}
        report["measurements"] = {"lines": history.lines, "used": len(history.measurements), "refused": history.refused}
        print(json.dumps(report, indent=2))
    else:
        print("\n".join(table(story, span, vsn, rows=arguments.rows)))
        if history.refused:
            print(f"{history.refused} of {history.lines} lines are no measurements; {shown(history.first_refusal)}")
    if arguments.plot:
        from edgesched.replay.plot import plot
        from edgesched.replay.raster import to_png

        canvas = plot(story, history.measurements, span, f"{job.name} on {vsn}")
        png = Path(arguments.plot).suffix.lower() == ".png"
        Path(arguments.plot).write_bytes(to_png(canvas) if png else canvas.to_svg().encode())
    return 0


def _span(arguments: Namespace, first_ns: int | None, last_ns: int | None) -> tuple[int, int]:
    """Return begin and end: as asked, else those of the recording; an open end is an hour long."""
    from_ns = arguments.from_ns if arguments.from_ns is not None else first_ns
    if from_ns is None:
        if arguments.to_ns is None:
            raise InputError("nothing says which time to replay", hint="give --measurements, or --from and --to")
        from_ns = arguments.to_ns - HOUR_NS
    to_ns = arguments.to_ns if arguments.to_ns is not None else last_ns
    # the last measurement has arrived one nanosecond after its own time
    to_ns = from_ns + HOUR_NS if to_ns is None else to_ns + (NS_PER_S if arguments.to_ns is None else 0)
    if to_ns < from_ns:
        raise InputError("the end lies before the beginning", hint="see --from and --to")
    return from_ns, to_ns


def _moment(text: str) -> int:
    try:
        return parse_moment(text)
    except InputError as error:
        raise ArgumentTypeError(error.message) from error


def _site(text: str) -> Site:
    from edgesched.node.parsing import site

    try:
        return site(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    from edgesched.core.jobs.criteria import parse_length

    try:
        seconds = float(text)
    except ValueError:
        length_ns = parse_length(text)
        seconds = 0.0 if length_ns is None else length_ns / NS_PER_S
    if not 0 < seconds <= 31 * 86_400:
        raise ArgumentTypeError("write seconds or a length of time, as in 90 or 5m")
    return seconds
