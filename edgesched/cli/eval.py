"""`edgesched eval`: the verdict of a condition, or of a file of conditions, on recorded measurements."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace, _SubParsersAction
from collections.abc import Mapping, Sequence
from typing import Any, Final

from edgesched.adapters.clock import SystemClock
from edgesched.cli.files import read_text
from edgesched.core.messages import measurement_from_object
from edgesched.core.model import Measurement, Site
from edgesched.core.rules import evaluate_text
from edgesched.core.shown import shown
from edgesched.errors import InputError
from edgesched.node.parsing import site
from edgesched.replay.history import read_history
from edgesched.replay.moments import parse_moment

LARGEST_BATCH: Final = 256 * 1024 * 1024
LONGEST_REASON: Final = 400


def add_parser(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the parser of the command."""
    about = "Evaluate a condition of the rule language: prints true, false or unknown with the reason."
    parser = commands.add_parser("eval", help="evaluate a condition", description=about)
    parser.add_argument("condition", nargs="?", metavar="CONDITION", help="such as \"avg(v('env.temperature')) > 30\"")
    parser.add_argument("--now", metavar="T", help="the time of the evaluation, RFC 3339 (now)")
    parser.add_argument("--measurements", metavar="NDJSON", help="recorded measurements; - for standard input")
    parser.add_argument("--site", metavar="LAT,LON", help="position of the node, for sun times")
    parser.add_argument(
        "--batch", metavar="FILE", help="evaluate a JSON line each: id, now, dataset or measurements, condition"
    )
    parser.add_argument("--datasets", metavar="FILE", help="with --batch: JSON object of named data sets")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(usage_error=parser.error)


def run(arguments: Namespace) -> int:
    """Evaluate one condition or a batch."""
    if (arguments.condition is None) == (arguments.batch is None):
        arguments.usage_error("give a CONDITION or --batch FILE")
    if arguments.datasets and not arguments.batch:
        arguments.usage_error("--datasets needs --batch")
    if arguments.batch and (arguments.now or arguments.measurements or arguments.json):
        arguments.usage_error("--batch takes time and measurements from its lines, and prints a JSON line each")
    position = _position(arguments)
    if arguments.batch:
        return _batch(arguments, position)
    now_ns = parse_moment(arguments.now) if arguments.now else SystemClock().now().ts_ns
    measurements = read_history(arguments.measurements).measurements if arguments.measurements else []
    result, reason = evaluate_text(arguments.condition, measurements, now_ns, site=position)
    if arguments.json:
        print(json.dumps({"result": result, "reason": reason}))
    elif result == "error":
        print(f"edgesched: {shown(reason, LONGEST_REASON)}", file=sys.stderr)
    else:
        print(f"unknown: {shown(reason, LONGEST_REASON)}" if result == "unknown" else result)
    return 1 if result == "error" else 0


def _position(arguments: Namespace) -> Site | None:
    if not arguments.site:
        return None
    try:
        return site(arguments.site)
    except ValueError as error:
        arguments.usage_error(f"--site: {error}")
        raise


def _batch(arguments: Namespace, position: Site | None) -> int:
    datasets = _datasets(arguments.datasets) if arguments.datasets else {}
    known: dict[str, Sequence[Measurement]] = {}
    for number, line in enumerate(read_text(arguments.batch, LARGEST_BATCH).split("\n"), 1):
        if not line.strip():
            continue
        case = _object(line, arguments.batch, number)
        answer: dict[str, object] = {"id": case.get("id")}
        try:
            result, reason = _case(case, datasets, known, position)
        except InputError as error:
            result, reason = "error", str(error)
        print(json.dumps({**answer, "result": result, "reason": reason}))
    return 0


def _case(
    case: Mapping[str, Any], datasets: Mapping[str, Any], known: dict[str, Sequence[Measurement]], position: Site | None
) -> tuple[str, str]:
    condition, now = case.get("condition"), case.get("now")
    if not isinstance(condition, str):
        raise InputError("the line has no condition")
    now_ns = parse_moment(now) if isinstance(now, str) else SystemClock().now().ts_ns
    name = case.get("dataset")
    if "measurements" in case or name is None:
        measurements: Sequence[Measurement] = _measurements(case.get("measurements") or [])
    elif name in known:
        measurements = known[name]
    elif name in datasets:
        content = datasets[name]
        listed = content.get("measurements") if isinstance(content, dict) else content
        measurements = known[name] = _measurements(listed)
    else:
        raise InputError(f"no data set {name!r}")
    return evaluate_text(condition, measurements, now_ns, site=position)


def _measurements(listed: object) -> list[Measurement]:
    """Read a list of measurement objects; those that no rule can use are left out."""
    if not isinstance(listed, list):
        raise InputError("measurements must be a list")
    measurements = []
    for fields in listed:
        try:
            measurements.append(measurement_from_object(fields if isinstance(fields, dict) else {}))
        except InputError:
            continue
    measurements.sort(key=lambda measurement: measurement.ts_ns)
    return measurements


def _datasets(file: str) -> dict[str, Any]:
    try:
        datasets = json.loads(read_text(file, LARGEST_BATCH))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON: {error}") from error
    if not isinstance(datasets, dict):
        raise InputError(f"{file}: must be a JSON object of data sets")
    return datasets


def _object(line: str, file: str, number: int) -> dict[str, Any]:
    try:
        case = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}:{number}: not JSON: {error}") from error
    if not isinstance(case, dict):
        raise InputError(f"{file}:{number}: not a JSON object")
    return case
