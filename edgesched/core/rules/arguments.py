"""Sorting out the arguments of one call: from a call node and a function to a `SortedCall`."""

from __future__ import annotations

from typing import Final

from edgesched.core.suggest import did_you_mean, nearest
from edgesched.core.windows import WindowSpec

from . import ast, literal_args
from .calls import AfterNeed, CronNeed, PlainCall, SortedCall, SunNeed, TimeNeed
from .functions import Function, Parameter
from .literal_args import ArgumentError

MINUTE_NS: Final = 60_000_000_000
SECOND_NS: Final = 1_000_000_000


class PlacedError(Exception):
    """An argument error and the node that it is about."""

    def __init__(self, cause: ArgumentError, node: ast.Node | ast.Keyword) -> None:
        super().__init__(cause.message)
        self.cause = cause
        self.node = node


def sort_call(function: Function, call: ast.Call) -> SortedCall:
    """The call with its arguments in place and its literals read. Raises PlacedError."""
    if function.many and len(call.args) > 1:
        many, given = call.args, _by_name(function, call, ())
    else:
        many, given = (), _by_name(function, call, call.args)
    match function.name:
        case "v" | "rate":
            return _window(function, call, given)
        case "cronjob":
            zone = _zone(given)
            expr = _read(given["expr"], lambda node: literal_args.cron_expression(node, "expr", zone))
            return CronNeed(_read(given["name"], lambda node: literal_args.text(node, "name")), expr, zone)
        case "after":
            return _after(given)
        case "time":
            return TimeNeed(_read(given["unit"], lambda node: literal_args.unit(node, "unit")), _zone(given))
        case "daylight" | "sunrise" | "sunset":
            return SunNeed(function.name, _zone(given))
        case _:
            return PlainCall(function, tuple(given.get(p.name) for p in function.parameters), many)


def meta_keys(function: Function, call: ast.Call) -> list[ast.Keyword]:
    """Keyword arguments that are filters and no parameters."""
    known = {parameter.name for parameter in function.parameters}
    return [keyword for keyword in call.keywords if function.meta and keyword.name not in known]


def meant_parameter(function: Function, keyword: ast.Keyword) -> str | None:
    """The parameter that a filter with an odd value probably means, such as `sinse='-5m'`."""
    value = keyword.value
    looks_odd = not isinstance(value, ast.Literal) or value.kind != "str" or str(value.value).startswith("-")
    return nearest(keyword.name, (p.name for p in function.parameters)) if looks_odd else None


def _by_name(function: Function, call: ast.Call, args: tuple[ast.Node, ...]) -> dict[str, ast.Node]:
    given: dict[str, ast.Node] = {}
    places = [parameter for parameter in function.parameters if parameter.by_position]
    for parameter, node in zip(places, args, strict=False):
        given[parameter.name] = node
    if len(args) > len(places):
        raise _too_many(function, places, args)
    for keyword in call.keywords:
        known = next((p for p in function.parameters if p.name == keyword.name), None)
        if known is None and function.meta:
            continue
        if known is None or not known.by_name:
            hint = did_you_mean(keyword.name, (p.name for p in function.parameters if p.by_name))
            message = f"{function.name}() has no argument {keyword.name}"
            raise PlacedError(ArgumentError("rule.argument", message, hint or f"it is {function.signature()}"), keyword)
        if keyword.name in given:
            message = f"argument {keyword.name} of {function.name}() is given twice"
            raise PlacedError(ArgumentError("rule.argument", message), keyword)
        given[keyword.name] = keyword.value
    if not (function.many and len(call.args) > 1):
        _refuse_missing(function, call, given)
    return given


def _refuse_missing(function: Function, call: ast.Call, given: dict[str, ast.Node]) -> None:
    for parameter in function.parameters:
        if not parameter.default and parameter.name not in given:
            message = f"{function.name}() lacks the argument {parameter.name}"
            raise PlacedError(ArgumentError("rule.argument", message, f"it is {function.signature()}"), call)


def _too_many(function: Function, places: list[Parameter], args: tuple[ast.Node, ...]) -> PlacedError:
    extra = args[len(places)]
    named = next((p.name for p in function.parameters if not p.by_position), None)
    message = f"{function.name}() takes {len(places) or 'no'} argument{'' if len(places) == 1 else 's'} without a name"
    hint = f"write {named}=..." if named is not None else f"it is {function.signature()}"
    return PlacedError(ArgumentError("rule.argument", message, hint), extra)


def _read(node: ast.Node, read: literal_args.Reader[literal_args.T]) -> literal_args.T:
    try:
        return read(node)
    except ArgumentError as error:
        raise PlacedError(error, node) from None


def _zone(given: dict[str, ast.Node]) -> str:
    node = given.get("tz")
    return "" if node is None else _read(node, lambda node: literal_args.timezone(node, "tz"))


def _window(function: Function, call: ast.Call, given: dict[str, ast.Node]) -> WindowSpec:
    name = _read(given["name"], lambda node: literal_args.measurement(node, "name"))
    since = _read(given["since"], lambda node: literal_args.since(node, "since")) if "since" in given else MINUTE_NS
    meta = []
    for keyword in meta_keys(function, call):
        key = keyword.name
        meta.append((key, _read(keyword.value, lambda node, key=key: literal_args.meta_value(node, key))))  # type: ignore[misc]
    pairs = tuple(sorted(meta))
    if function.name == "v":
        last = "last" in given and _read(given["last"], lambda node: literal_args.flag(node, "last"))
        return WindowSpec(name, since, pairs, last=last)
    lengths = [
        _read(given[key], lambda node, key=key: literal_args.length(node, key)) if key in given else SECOND_NS  # type: ignore[misc]
        for key in ("window", "unit")
    ]
    return WindowSpec(name, since, pairs, "rate", lengths[0], lengths[1])


def _after(given: dict[str, ast.Node]) -> AfterNeed:
    plugin = _read(given["name"], lambda node: literal_args.text(node, "name"))
    since = given.get("since")
    if since is None or (isinstance(since, ast.Literal) and since.value is None):
        return AfterNeed(plugin)
    if isinstance(since, ast.Literal) and since.kind == "str":
        return AfterNeed(plugin, since=str(since.value))
    return AfterNeed(plugin, seconds=since)
