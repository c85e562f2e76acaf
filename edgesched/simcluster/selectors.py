"""Label and field selectors: text to predicate, refused in the words of the real server."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from edgesched.simcluster import status
from edgesched.simcluster.resources import Resource
from edgesched.simcluster.status import Object

Test = Callable[[Object], bool]

_TOKEN = re.compile(r"\s*(==|!=|[=,()!<>]|[^\s=,()!<>]+)")
_OPERATORS = frozenset({"=", "==", "!=", ",", "(", ")", "!", "<", ">"})
_FIELD_TERM = re.compile(r"([^=!,]+)(!=|==|=)([^,]*)")


def _everything(_: Object) -> bool:
    return True


def selector(resource: Resource, labels: str, fields: str) -> Test:
    """The predicate of a list or watch over whole objects. Raises ApiError 400."""
    tests = [*_label_tests(labels), *_field_tests(resource, fields)]
    if not tests:
        return _everything
    return tests[0] if len(tests) == 1 else lambda obj: all(test(obj) for test in tests)


class _Tokens:
    """The tokens of a label selector, read once from left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = [match.group(1) for match in _TOKEN.finditer(text)]
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self._at += 1
        return token

    def expect(self, wanted: str) -> None:
        token = self.take()
        if token != wanted:
            raise status.bad_request(f"unable to parse requirement: found '{token}' expected: '{wanted}'")


def _label_tests(text: str) -> list[Test]:
    tokens = _Tokens(text)
    tests: list[Test] = []
    while tokens.peek():
        tests.append(_requirement(tokens))
        if tokens.peek() == ",":
            tokens.take()
            if not tokens.peek():
                raise status.bad_request("found '', expected: identifier after ','")
        elif tokens.peek():
            raise status.bad_request(f"found '{tokens.peek()}', expected: ',' or 'end of string'")
    return tests


def _name(tokens: _Tokens) -> str:
    word = tokens.take()
    if not word or word in _OPERATORS:
        raise status.bad_request(f"unable to parse requirement: found '{word}', expected: identifier")
    return word


def _requirement(tokens: _Tokens) -> Test:
    if tokens.peek() == "!":
        tokens.take()
        absent = _name(tokens)
        return lambda obj: absent not in _labels(obj)
    name = _name(tokens)
    operator = tokens.peek()
    if operator in {"", ","}:
        return lambda obj: name in _labels(obj)
    tokens.take()
    if operator in {"=", "==", "!="}:
        value = _value(tokens)
        if operator == "!=":
            return lambda obj: _labels(obj).get(name) != value
        return lambda obj: _labels(obj).get(name) == value
    if operator in {"in", "notin"}:
        values = _value_set(tokens)
        if operator == "in":
            return lambda obj: _labels(obj).get(name) in values
        return lambda obj: _labels(obj).get(name) not in values
    raise status.bad_request(
        f"unable to parse requirement: found '{operator}', expected: '=', '!=', '==', 'in', notin'"
    )


def _value(tokens: _Tokens) -> str:
    if tokens.peek() in {"", ","}:
        return ""
    return _name(tokens)


def _value_set(tokens: _Tokens) -> frozenset[str]:
    tokens.expect("(")
    values = {_value(tokens)}
    while tokens.peek() == ",":
        tokens.take()
        values.add("" if tokens.peek() == ")" else _value(tokens))
    tokens.expect(")")
    return frozenset(values)


def _labels(obj: Object) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def _field_tests(resource: Resource, text: str) -> list[Test]:
    tests: list[Test] = []
    for term in filter(None, text.split(",")):
        match = _FIELD_TERM.fullmatch(term)
        if not match:
            raise status.bad_request(f"invalid field selector: '{term}'; can't understand '{term}'")
        field, operator, value = match.groups()
        tests.append(_field_test(_path(resource, field), operator, value))
    return tests


def _path(resource: Resource, field: str) -> tuple[str, ...]:
    if field == "metadata.name" or (field == "metadata.namespace" and resource.namespaced):
        return tuple(field.split("."))
    path = resource.fields.get(field)
    if path is None:
        raise status.bad_request(_unsupported(resource, field))
    return path


def _unsupported(resource: Resource, field: str) -> str:
    if resource.fields:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def _field_test(path: tuple[str, ...], operator: str, value: str) -> Test:
    wanted = operator != "!="
    return lambda obj: (_text_at(obj, path) == value) is wanted


def _text_at(obj: Object, path: tuple[str, ...]) -> str:
    found: Any = obj
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
        if found is None:
            return ""
    return str(found).lower() if isinstance(found, bool) else str(found)
