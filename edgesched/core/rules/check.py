"""The check before anything is evaluated: names, arguments, literals and the kinds of values.

A name, function, attribute or argument that does not exist is wrong wherever it stands, and so is a literal that cannot
be read. A value of the wrong kind is wrong for `check`, but refuses a condition only where it is surely evaluated:
`True or abs('a')` is odd, yet holds. What depends on data is left to the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from edgesched.core.findings import Finding, Severity
from edgesched.core.suggest import did_you_mean
from edgesched.core.windows import WindowSpec

from . import ast, kinds
from .arguments import PlacedError, meant_parameter, meta_keys, sort_call
from .calls import AfterNeed, MethodCall, NeedsBuilder, PlainCall, SortedCall
from .checked import Checked, Problem
from .functions import FUNCTIONS, LITERALS, METHODS, Function
from .kinds import Kind

_OTHER_NAMES: Final = {
    "true": "True",
    "TRUE": "True",
    "false": "False",
    "FALSE": "False",
    "null": "None",
    "none": "None",
    "mean": "avg",
    "average": "avg",
    "std": "stddev",
    "cron": "cronjob",
    "value": "v",
    "first": "v(...)[0]",
}
"""What people write for names of the language."""

_ACCEPTS: Final[dict[str, frozenset[str]]] = {
    "values": kinds.ITERABLE - {"str"},
    "mean": kinds.NUMERIC | kinds.ITERABLE - {"str"},
    "iterable": kinds.ITERABLE,
    "number": kinds.NUMERIC,
    "numeric": kinds.NUMERIC | {"series"},
    "integer": frozenset(("bool", "int", "number", "none")),
    "convertible": kinds.NUMERIC | {"str", "series"},
    "moment": kinds.NUMERIC,
}
"""Kinds of values that a parameter takes."""

_SHOWN_ACCEPTS: Final = {
    "values": "a series or a list",
    "mean": "a series or a list",
    "iterable": "a series or a list",
    "number": "a number",
    "numeric": "a number or a series",
    "integer": "an integer",
    "convertible": "a number or a text",
    "moment": "a plugin's name or a number of seconds",
}


@dataclass(slots=True)
class _Scope:
    names: dict[str, Kind] = field(default_factory=dict)
    generator: bool = False


def check(tree: ast.Node) -> Checked:
    """Check a tree. Finds everything; raises nothing."""
    checker = _Checker()
    kind = checker.visit(tree)
    checker.judge(tree, kind)
    return Checked(
        tree, checker.needs.done(), checker.kinds, checker.calls, checker.problems, checker.loops, checker.places
    )


class _Checker:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.kinds: dict[int, Kind] = {}
        self.calls: dict[int, SortedCall] = {}
        self.needs = NeedsBuilder()
        self.loops = False
        self.places: list[tuple[str, ast.Node]] = []
        self._scopes: list[_Scope] = []
        self._certain = True
        self._visitors: dict[type, Callable[[Any], Kind]] = {
            ast.Literal: self._literal,
            ast.Name: self._name,
            ast.Sequence: self._sequence,
            ast.Call: self._call,
            ast.Attribute: self._attribute,
            ast.Subscript: self._subscript,
            ast.Unary: self._unary,
            ast.Binary: self._binary,
            ast.Compare: self._compare,
            ast.Logic: self._logic,
            ast.IfElse: self._if_else,
            ast.Comprehension: self._comprehension,
        }

    # --- findings

    def _wrong(self, code: str, node: ast.Node | ast.Keyword | ast.Clause, message: str, hint: str = "") -> Kind:
        self._find("error", code, node, message, hint, fatal=True)
        return kinds.ANY

    def _unfit(self, node: ast.Node, message: str, hint: str = "") -> None:
        self._find("error", "rule.type", node, message, hint, fatal=self._certain)

    def _odd(self, code: str, node: ast.Node | ast.Keyword, message: str, hint: str) -> None:
        self._find("warning", code, node, message, hint, fatal=False)

    def _find(
        self,
        severity: Severity,
        code: str,
        node: ast.Node | ast.Keyword | ast.Clause,
        message: str,
        hint: str,
        *,
        fatal: bool,
    ) -> None:
        self.problems.append(Problem(Finding(severity, code, message, hint, node.line, node.column), fatal))

    def judge(self, tree: ast.Node, kind: Kind) -> None:
        """The verdict must be true or false."""
        if kind.name == "series":
            message = "the condition gives a series, not true or false"
            hint = "say any(...), all(...) or last(...)"
        elif kind.name in ("bool", "number", "any"):
            return
        else:
            message = f"the condition gives {kind}, not true or false"
            hint = "compare it: avg(...) > 30" if kind.name in kinds.NUMERIC else ""
        self._find("error", "rule.verdict", tree, message, hint, fatal=False)

    # --- nodes

    def visit(self, node: ast.Node) -> Kind:
        """The kind of a node, after all below it have been checked."""
        kind = self._visitors[type(node)](node)
        self.kinds[id(node)] = kind
        return kind

    def _maybe(self, node: ast.Node) -> Kind:
        """Visit a node that may not be evaluated."""
        certain, self._certain = self._certain, False
        kind = self.visit(node)
        self._certain = certain
        return kind

    def _truth(self, node: ast.Node, kind: Kind) -> None:
        """A node's truth is asked for."""
        if kind.name == "series":
            message = "the truth of a series is unknown when it has several values"
            self._odd("rule.truth", node, message, "say any(...), all(...) or last(...)")

    def _literal(self, node: ast.Literal) -> Kind:
        return {"bool": kinds.BOOL, "int": kinds.INT, "float": kinds.FLOAT, "str": kinds.STR, "none": kinds.NONE}[
            node.kind
        ]

    def _variable(self, name: str) -> Kind | None:
        for scope in reversed(self._scopes):
            if name in scope.names:
                return scope.names[name]
        return None

    def _name(self, node: ast.Name) -> Kind:
        kind = self._variable(node.id)
        if kind is not None:
            return kind
        if node.id in FUNCTIONS:
            return self._wrong(
                "rule.name", node, f"{node.id} is a function", f"call it: {FUNCTIONS[node.id].signature()}"
            )
        return self._unknown(node, node.id)

    def _unknown(self, node: ast.Node, name: str, what: str = "name") -> Kind:
        variables = {name for scope in self._scopes for name in scope.names}
        hint = f"write {_OTHER_NAMES[name]}" if name in _OTHER_NAMES else did_you_mean(name, {*FUNCTIONS, *variables})
        return self._wrong("rule.name", node, f"there is no {what} {name[:60]}", hint)

    def _sequence(self, node: ast.Sequence) -> Kind:
        found = [self.visit(item) for item in node.items]
        return kinds.items(*found) if node.kind == "tuple" else kinds.listing("list", kinds.join(found))

    def _attribute(self, node: ast.Attribute) -> Kind:
        if self._is_foreign(node):
            dotted = _dotted(node)[:60]
            message = f"there is no name {dotted}"
            return self._wrong("rule.name", node, message, f"the values of a measurement are v('{dotted}')")
        value = self.visit(node.value)
        if node.name == "size" and value.name in ("series", "any"):
            self.calls[id(node)] = MethodCall(node.value, "size")
            return kinds.INT
        return self._no_attribute(node, value)

    def _is_foreign(self, node: ast.Attribute) -> bool:
        """Whether it is a dotted name that begins with no name of the condition."""
        root = _dotted(node).split(".")[0]
        return bool(root) and self._variable(root) is None and root not in FUNCTIONS

    def _no_attribute(self, node: ast.Attribute, value: Kind) -> Kind:
        if value.name in ("series", "any"):
            hint = "call it" if node.name in METHODS else f"a series has .{'() .'.join(METHODS)}() and .size"
        else:
            hint = "only a series has attributes"
        return self._wrong("rule.attribute", node, f"{value} has no attribute {node.name[:60]}", hint)

    def _subscript(self, node: ast.Subscript) -> Kind:
        value = self.visit(node.value)
        if value.name not in ("series", "list", "tuple", "range", "str", "any"):
            self._unfit(node, f"{value} has no items")
        if isinstance(node.index, ast.Slice):
            for part in (node.index.lower, node.index.upper, node.index.step):
                if part is not None and self.visit(part).name not in ("int", "bool", "none", "number", "any"):
                    self._unfit(part, "the ends of a slice are integers")
            return value
        index = self.visit(node.index)
        if _copies_a_list(node.value):
            self._wrong("rule.type", node, "an item of a mere copy of a written-out list", "write the item itself")
        if index.name in ("series", "list") and value.name in ("series", "any"):
            return value
        if index.name not in ("int", "bool", "number", "any"):
            self._unfit(node.index, f"{index} is no index", "an index is an integer")
        return kinds.element(value)

    def _unary(self, node: ast.Unary) -> Kind:
        kind = self.visit(node.operand)
        if node.op == "not":
            self._truth(node.operand, kind)
            return kinds.BOOL
        self._operand(node.operand, kind, node.op)
        if kind.name == "series":
            return kind
        if kind.name == "bool" and not kind.numpy:
            return kinds.INT
        return kind

    def _operand(self, node: ast.Node, kind: Kind, op: str) -> None:
        """An operand of arithmetic."""
        if kind.name not in kinds.NUMERIC and kind.name not in ("series", "any"):
            hint = "convert it: int(...)" if kind.name == "str" and op != "%" else ""
            self._unfit(node, f"`{op}` does not take {kind}", hint)
        elif op in ("&", "|", "^", "~", "<<", ">>"):
            inner = kinds.element(kind) if kind.name == "series" else kind
            if inner.name == "float" or inner == kinds.SAMPLE:
                hint = "put brackets around the comparisons: (a > 1) & (b > 2)" if op in ("&", "|", "^") else ""
                self._unfit(node, f"`{op}` does not take measured values, only comparisons and integers", hint)

    def _binary(self, node: ast.Binary) -> Kind:
        found = self.visit(node.first)
        previous = node.first
        for op, operand in node.rest:
            kind = self.visit(operand)
            self._operand(previous, found, op)
            self._operand(operand, kind, op)
            found = kinds.arithmetic(op, found, kind)
            previous = operand
        return found

    def _compare(self, node: ast.Compare) -> Kind:
        left = self.visit(node.first)
        found: list[Kind] = []
        for i, (op, operand) in enumerate(node.rest):
            right = self.visit(operand) if i == 0 else self._maybe(operand)
            self._comparable(node, operand, op, left, right)
            found.append(kinds.comparison(op, left, right))
            if i < len(node.rest) - 1:
                self._truth(node, found[-1])
            left = right
        return kinds.join(found)

    def _comparable(self, node: ast.Compare, operand: ast.Node, op: str, left: Kind, right: Kind) -> None:
        if op in ("in", "not in"):
            if right.name not in kinds.ITERABLE and right.name != "any":
                self._unfit(operand, f"`{op}` looks into a list or a text, not into {right}")
            elif right.name == "str" and left.name not in ("str", "any"):
                self._unfit(node.first, f"`{op}` looks for a text in a text, not for {left}")
        elif op in ("<", "<=", ">", ">="):
            names = [kinds.element(kind).name if kind.name == "series" else kind.name for kind in (left, right)]
            groups = {"number" if name in kinds.NUMERIC else name for name in names}
            if "any" not in groups and (len(groups) > 1 or not groups <= {"number", "str", "list", "tuple"}):
                self._unfit(node, f"`{op}` cannot compare {left} with {right}")

    def _logic(self, node: ast.Logic) -> Kind:
        found: list[Kind] = []
        for i, operand in enumerate(node.operands):
            found.append(self.visit(operand) if i == 0 else self._maybe(operand))
            if i < len(node.operands) - 1:
                self._truth(operand, found[-1])
        return kinds.join(found)

    def _if_else(self, node: ast.IfElse) -> Kind:
        self._truth(node.test, self.visit(node.test))
        return kinds.join([self._maybe(node.then), self._maybe(node.other)])

    # --- comprehensions

    def _comprehension(self, node: ast.Comprehension) -> Kind:
        self.loops = True
        certain = self._certain
        scope = _Scope(generator=node.kind == "generator")
        for i, clause in enumerate(node.clauses):
            iterable = self.visit(clause.iterable)
            if i == 0:
                self._scopes.append(scope)
            if iterable.name not in kinds.ITERABLE and iterable.name != "any":
                self._unfit(clause.iterable, f"`for` goes through a series or a list, not through {iterable}")
            self._certain = False
            self._bind(scope, clause.target, kinds.element(iterable))
            for condition in clause.conditions:
                self._truth(condition, self.visit(condition))
        element = self.visit(node.element)
        self._scopes.pop()
        self._certain = certain
        return kinds.listing("list" if node.kind == "list" else "iterator", element)

    def _bind(self, scope: _Scope, target: ast.Target, kind: Kind) -> None:
        if target.id:
            scope.names[target.id] = kind
        known = kind.items if len(kind.items) == len(target.names) else (kinds.element(kind),) * len(target.names)
        for name, inner in zip(target.names, known, strict=True):
            self._bind(scope, name, inner)

    # --- calls

    def _call(self, node: ast.Call) -> Kind:
        target = node.function
        if isinstance(target, ast.Attribute) and not self._is_foreign(target):
            return self._method(node, target)
        self._arguments_of_unknown(node, target)
        if isinstance(target, ast.Attribute):
            return self._attribute(target)
        if not isinstance(target, ast.Name):
            self.visit(target)
            return self._wrong("rule.name", node, "only functions can be called")
        if self._variable(target.id) is not None:
            return self._wrong("rule.name", node, f"{target.id} is no function")
        function = FUNCTIONS.get(target.id)
        if function is None:
            return self._unknown(node, target.id, "function")
        if function.rule and any(scope.generator for scope in self._scopes):
            message = f"{function.name}() cannot be called inside a generator expression"
            return self._wrong("rule.scope", node, message, "write a list, [... for ...], or put the call behind `in`")
        return self._function(node, function)

    def _arguments_of_unknown(self, node: ast.Call, target: ast.Node) -> None:
        """Check the arguments of what is no function, too, so that all faults show at once."""
        known = isinstance(target, ast.Name) and target.id in FUNCTIONS and self._variable(target.id) is None
        if not known:
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                self._maybe(argument)

    def _method(self, node: ast.Call, target: ast.Attribute) -> Kind:
        value = self.visit(target.value)
        if value.name not in ("series", "any") or target.name not in METHODS:
            return self._no_attribute(target, value)
        if node.args or node.keywords:
            self._wrong("rule.argument", node, f".{target.name}() takes no arguments")
        self.calls[id(node)] = MethodCall(target.value, target.name)
        if target.name in ("any", "all"):
            return kinds.NUMPY_BOOL
        if target.name == "mean":
            return kinds.NUMPY_FLOAT
        inner = kinds.element(value)
        return kinds.NUMPY_INT if target.name == "sum" and inner.name == "bool" else inner

    def _function(self, node: ast.Call, function: Function) -> Kind:
        try:
            call = sort_call(function, node)
        except PlacedError as error:
            return self._wrong(error.cause.code, error.node, error.cause.message, error.cause.hint)
        self.calls[id(node)] = call
        self.needs.add(call)
        if isinstance(call, PlainCall):
            return function.returns(self._plain(call))
        self._note(node, function, call)
        return function.returns(())

    def _note(self, node: ast.Call, function: Function, call: SortedCall) -> None:
        if isinstance(call, AfterNeed) and call.seconds is not None:
            kind = self.visit(call.seconds)
            self._accept(call.seconds, kind, "moment", "since", function.name)
        if isinstance(call, WindowSpec):
            for keyword in meta_keys(function, node):
                meant = meant_parameter(function, keyword)
                if meant is not None:
                    message = f"{keyword.name} is taken for a key of the meta data"
                    self._odd("rule.meta", keyword, message, f"did you mean {meant}?")
            return
        for name in self._mentioned(call):
            self.places.append((name, node))

    def _mentioned(self, call: SortedCall) -> list[str]:
        collected = NeedsBuilder()
        collected.add(call)
        return [name for name in collected.afters if name]

    def _plain(self, call: PlainCall) -> tuple[Kind, ...]:
        found = [self.visit(node) for node in call.many]
        for given, kind in zip(call.many, found, strict=True):
            self._accept(given, kind, call.function.parameters[0].accepts, "an argument", call.function.name)
        for parameter, node in zip(call.function.parameters, call.arguments, strict=False):
            if node is None:
                continue
            kind = self.visit(node)
            self._accept(node, kind, parameter.accepts, parameter.name, call.function.name)
            if parameter.by_position or not call.many:
                found.append(kind)
            if call.function.name == "bool":
                self._truth(node, kind)
        return tuple(found)

    def _accept(self, node: ast.Node, kind: Kind, accepts: str, parameter: str, function: str) -> None:
        if accepts in LITERALS or accepts == "any" or kind.name == "any" or kind.name in _ACCEPTS[accepts]:
            return
        self._unfit(node, f"{parameter} of {function}() must be {_SHOWN_ACCEPTS[accepts]}, not {kind}")


def _copies_a_list(node: ast.Node) -> bool:
    """`[x for x in [1, 2]]`: a detour that no author means, and a usual first step of attacks on evaluators."""
    if not isinstance(node, ast.Comprehension) or len(node.clauses) != 1:
        return False
    clause, element = node.clauses[0], node.element
    same = isinstance(element, ast.Name) and element.id == clause.target.id
    return same and isinstance(clause.iterable, ast.Sequence) and not clause.conditions


def _dotted(node: ast.Attribute) -> str:
    """`a.b.c` as text when the node is made of names only, else empty."""
    parts = [node.name]
    value: ast.Node = node.value
    while isinstance(value, ast.Attribute):
        parts.append(value.name)
        value = value.value
    return ".".join(reversed([*parts, value.id])) if isinstance(value, ast.Name) else ""
