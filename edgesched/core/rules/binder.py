"""From a checked tree and facts to parts: the compiler proper.

Binding is done once for a rule; afterwards an evaluation is a call of nested functions that hold what they need. Shapes
that real rules have (an aggregate or `any`/`all` of a window compared with a constant) become single parts that read
what the window keeps; everything else goes through the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

from edgesched.core.windows import Window, WindowSpec

from . import ast, clock_parts, fusion, kinds, library, logic, window_parts
from .arithmetic import Mode, binary, unary
from .budget import Budget
from .calls import AfterNeed, CronNeed, MethodCall, PlainCall, SunNeed, TimeNeed
from .checked import Checked
from .comparison import AGAINST, ORDER, as_float, compare, item, truth
from .facts import Facts
from .kinds import Kind
from .loops import Loop, Missing, Round, Target, variable
from .part import Part, Run, combined, constant, kept
from .series import Series
from .verdict import Unknown

_COSTS: Final[dict[type, int]] = {ast.Call: 3, ast.Sequence: 2, ast.Comprehension: 4}
"""Steps of a node inside a loop, where it is not one."""
_KEPT_KINDS: Final = frozenset(("bool", "int", "float", "number", "str", "series"))


class Binder:
    """Makes the parts of one condition. `windows`: those that it required, to be released when it goes."""

    def __init__(self, checked: Checked, facts: Facts, now_ns: int, grace_ns: int) -> None:
        self.budget = Budget()
        self.windows: dict[WindowSpec, Window] = {
            spec: facts.windows.require(spec, now_ns) for spec in checked.needs.windows
        }
        self.operands: dict[int, tuple[Part, ...]] = {}
        """The operands of comparisons by the `id` of the node, for `explain`."""
        self._checked = checked
        self._facts = facts
        self._grace_ns = grace_ns
        self._care = window_parts.Care()
        self._fusion = fusion.Fusion(checked.calls, self.windows, self._care)
        self._slots: list[Any] = []
        self._scopes: list[dict[str, int]] = []
        self._empty_ok = False

    def bind(self, node: ast.Node) -> Part:
        """The part of a node."""
        return self._MAKERS[type(node)](self, node)

    def root(self) -> Part:
        """The part of the whole condition."""
        return self._kept(self._checked.tree)

    def _kept(self, node: ast.Node) -> Part:
        part, kind = self.bind(node), self._kind(node)
        return kept(part) if kind.name in _KEPT_KINDS or kind == kinds.SAMPLE else part

    def _kind(self, node: ast.Node) -> Kind:
        return self._checked.kinds.get(id(node), kinds.ANY)

    # --- simple nodes

    def _literal(self, node: ast.Literal) -> Part:
        return constant(node.value)

    def _logic(self, node: ast.Logic) -> Part:
        return logic.logic(node.op, tuple(self._kept(operand) for operand in node.operands))

    def _if_else(self, node: ast.IfElse) -> Part:
        return logic.chosen(*map(self._kept, (node.test, node.then, node.other)))

    def _name(self, node: ast.Name) -> Part:
        for scope in reversed(self._scopes):
            if node.id in scope:
                return Part(variable(self._slots, scope[node.id]))
        raise AssertionError(node)

    def _sequence(self, node: ast.Sequence) -> Part:
        parts = [self.bind(item) for item in node.items]
        runs = [part.run for part in parts]
        if node.kind == "list":
            return combined(lambda now: [run(now) for run in runs], parts, fails=False)
        return combined(lambda now: tuple([run(now) for run in runs]), parts, fails=False)

    def _attribute(self, node: ast.Attribute) -> Part:
        call = self._checked.calls[id(node)]
        assert isinstance(call, MethodCall)
        part = self.bind(call.value)
        budget = self.budget
        return combined(lambda now: library.method_or_size("size", part.run(now), budget), [part])

    def _subscript(self, node: ast.Subscript) -> Part:
        value, budget = self.bind(node.value), self.budget
        if isinstance(node.index, ast.Slice):
            ends = [
                constant(None) if part is None else self.bind(part)
                for part in (node.index.lower, node.index.upper, node.index.step)
            ]
            low, high, step = (end.run for end in ends)
            return combined(
                lambda now: item(value.run(now), slice(low(now), high(now), step(now)), budget), [value, *ends]
            )
        index = self.bind(node.index)
        return combined(lambda now: item(value.run(now), index.run(now), budget), [value, index])

    def _unary(self, node: ast.Unary) -> Part:
        if node.op == "not":
            return logic.negated(self._kept(node.operand))
        part, kind = self.bind(node.operand), self._kind(node.operand)
        operate = unary(node.op, numpy_bool=kind == kinds.NUMPY_BOOL, budget=self.budget)
        return combined(lambda now: operate(part.run(now)), [part])

    def _binary(self, node: ast.Binary) -> Part:
        found, kind = self.bind(node.first), self._kind(node.first)
        for op, operand in node.rest:
            right, right_kind = self.bind(operand), self._kind(operand)
            found = self._operation(op, found, right, kind, right_kind)
            kind = kinds.arithmetic(op, kind, right_kind)
        return found

    def _operation(self, op: str, left: Part, right: Part, kind: Kind, right_kind: Kind) -> Part:
        operate = binary(op, _mode(kind, right_kind), self.budget)
        a, b = left.run, right.run
        return combined(lambda now: operate(a(now), b(now)), [left, right], fails=op not in ("+", "-", "*"))

    # --- comparisons

    def _compare(self, node: ast.Compare) -> Part:
        fused = self._fused_comparison(node)
        if fused is not None:
            return fused
        parts = [self.bind(operand) for operand in ast.children(node)]
        if not all(part.pure for part in parts):
            parts = [self._kept_as(part, operand) for part, operand in zip(parts, ast.children(node), strict=True)]
        operands = ast.children(node)
        tests = [
            self._test(op, parts[i], parts[i + 1], self._kind(operands[i]), self._kind(operands[i + 1]))
            for i, (op, _) in enumerate(node.rest)
        ]
        self.operands[id(node)] = tuple(parts)
        run = tests[0](parts[0].run, parts[1].run) if len(tests) == 1 else _chained(tests, parts)
        numeric = all(self._kind(operand).name in kinds.NUMERIC for operand in operands)
        part = combined(run, parts, fails=not numeric)
        call = self._checked.calls.get(id(node.first))
        turns = isinstance(call, TimeNeed) and call.unit != "microsecond"
        return clock_parts.held(part) if turns and all(other.fixed for other in parts[1:]) else part

    def _kept_as(self, part: Part, node: ast.Node) -> Part:
        return kept(part) if self._kind(node).name in _KEPT_KINDS else part

    def _test(self, op: str, left: Part, right: Part, kind: Kind, right_kind: Kind) -> Callable[[Run, Run], Run]:
        """From two functions of the time to that of their comparison."""
        if op in ("is", "is not") and (kind.numpy or right_kind.numpy):
            different = op == "is not"
            return lambda a, b: lambda now: (a(now), b(now), different)[2]
        numeric = kind.name in kinds.NUMERIC and right_kind.name in kinds.NUMERIC
        operate = ORDER[op] if numeric and op in ORDER else compare(op, self.budget)
        if op in ORDER and {kind.name, right_kind.name} & {"list", "tuple"}:
            # a numpy scalar is compared with each item of a list
            left = _as_series(left) if kind.numpy else left
            right = _as_series(right) if right_kind.numpy else right
            return lambda _a, _b: lambda now: operate(left.run(now), right.run(now))
        if left.sums or right.sums:
            return lambda a, b: _careful(operate, a, b, self._care)
        if right.fixed and op in ORDER and (numeric or kind.numpy):
            bound = as_float(right.run(0)) if kind.numpy else right.run(0)
            if numeric:
                return lambda a, _b: AGAINST[op](a, bound)
            return lambda a, _b: lambda now: operate(a(now), bound)
        return lambda a, b: lambda now: operate(a(now), b(now))

    def _fused_comparison(self, node: ast.Compare) -> Part | None:
        """`aggregate(window) OP constant`, either way round."""
        for side, other, turned in fusion.sides(node):
            bound = as_float(fusion.number(other))
            found = self._fusion.aggregate(side)
            if bound is not None and found is not None:
                part, window, aggregate = found
                self.operands[id(node)] = (part, constant(bound)) if side is node.first else (constant(bound), part)
                return window_parts.compared_part(part, window, aggregate, turned, bound)
        return None

    # --- calls

    def _call(self, node: ast.Call) -> Part:
        call = self._checked.calls[id(node)]
        match call:
            case WindowSpec():
                return window_parts.series_part(self.windows[call], self.budget, empty_ok=self._empty_ok)
            case CronNeed():
                return clock_parts.cron_part(call, self._facts, self._grace_ns)
            case TimeNeed():
                return clock_parts.time_part(call)
            case SunNeed():
                return clock_parts.sun_part(call, self._facts)
            case AfterNeed():
                seconds = None if call.seconds is None else self.bind(call.seconds)
                return clock_parts.after_part(call, self._facts, seconds)
            case MethodCall():
                part, budget, name = self.bind(call.value), self.budget, call.name
                return combined(lambda now: library.method_or_size(name, part.run(now), budget), [part])
            case PlainCall():
                return self._plain(node, call)

    def _plain(self, node: ast.Call, call: PlainCall) -> Part:
        name = call.function.name
        argument = call.arguments[0] if call.arguments else None
        if name in ("any", "all", "sum", "count") and not call.many and all(a is None for a in call.arguments[1:]):
            tally = self._fusion.tally(argument) or (
                self._fusion.tally_of_loop(argument) if name in ("any", "all") else None
            )
            if tally is not None:
                return window_parts.count_part(*tally) if name == "count" else window_parts.tally_part(*tally, name)
        if name == "count":
            return self._count(argument)
        if name in ("any", "all") and isinstance(argument, ast.Comprehension | ast.Sequence):
            return self._decided(argument, wanted=name == "any")
        found = self._fusion.aggregate(node)
        return found[0] if found is not None else self._applied(call)

    def _applied(self, call: PlainCall) -> Part:
        """A function of arguments that are evaluated first."""
        name, budget = call.function.name, self.budget
        implementation = library.IMPLEMENTATIONS[name]
        nodes = [node for node in (*call.many, *call.arguments) if node is not None]
        numpy = any(self._kind(node).numpy for node in nodes)
        if name == "round" and numpy:
            implementation = library.numpy_round
        if name == "abs" and self._kind(nodes[0]) == kinds.NUMPY_BOOL:
            return self.bind(nodes[0])
        if name == "pow" and call.arguments[2] is None:
            base, exponent = nodes
            return self._operation("**", self.bind(base), self.bind(exponent), self._kind(base), self._kind(exponent))
        parts = [constant(library.NOTHING) if node is None else self.bind(node) for node in call.arguments]
        many = [self.bind(node) for node in call.many]
        runs = [part.run for part in parts]
        if call.many and name in ("min", "max"):
            values = tuple(part.run for part in many)
            default = constant(library.NOTHING).run
            return combined(lambda now: implementation(budget, [run(now) for run in values], default(now)), many)
        if name == "zip":
            sources = many or parts[: len(nodes)]
            runs = [part.run for part in sources]
            return combined(lambda now: implementation(budget, *[run(now) for run in runs]), sources)
        if len(runs) == 1:
            only = runs[0]
            return combined(lambda now: implementation(budget, only(now)), parts, fails=name not in ("abs", "len"))
        return combined(lambda now: implementation(budget, *[run(now) for run in runs]), parts)

    def _count(self, argument: ast.Node | None) -> Part:
        assert argument is not None
        window = self._fusion.window(argument)
        if window is not None:
            return window_parts.count_part(window, None)
        outer, self._empty_ok = self._empty_ok, True
        part = self.bind(argument)
        self._empty_ok = outer
        implementation, budget = library.IMPLEMENTATIONS["count"], self.budget

        def run(now: int) -> int:
            n: int = implementation(budget, part.run(now))
            for one in part.windows:
                if n == 0 and not one.covered(now):
                    raise Unknown(window_parts.uncovered(one, now))
            return n

        return combined(run, [part])

    def _decided(self, argument: ast.Comprehension | ast.Sequence, *, wanted: bool) -> Part:
        """`any` or `all` of a comprehension or of a list that is written out."""
        if isinstance(argument, ast.Comprehension):
            loop, parts = self._loop(argument)
            lazy = argument.kind == "generator"
            return combined(lambda now: loop.decided(now, wanted=wanted, lazy=lazy), parts)
        parts = [self._kept(item) for item in argument.items]
        runs = [part.run for part in parts]

        def run(now: int) -> bool:
            unknown: Unknown | None = None
            found = not wanted
            for operand in runs:
                try:
                    found = wanted if truth(operand(now)) is wanted else found
                except Unknown as missing:
                    unknown = unknown or Unknown(missing.why)
            if unknown is not None and found is not wanted:
                raise unknown
            return found

        return combined(run, parts)

    # --- comprehensions

    def _comprehension(self, node: ast.Comprehension) -> Part:
        loop, parts = self._loop(node)
        return combined(loop.listed if node.kind == "list" else loop.generated, parts)

    def _loop(self, node: ast.Comprehension) -> tuple[Loop, list[Part]]:
        parts: list[Part] = []
        rounds: list[Round] = []
        scope: dict[str, int] = {}
        for i, clause in enumerate(node.clauses):
            items = self._items(clause.iterable, parts)
            if i == 0:
                self._scopes.append(scope)
            target = self._target(clause.target, scope)
            conditions = [self.bind(condition) for condition in clause.conditions]
            parts += conditions
            rounds.append(Round(target, items, tuple(part.run for part in conditions)))
        element = self.bind(node.element)
        self._scopes.pop()
        inner = [node.element, *(condition for clause in node.clauses for condition in clause.conditions)]
        cost = 2 + sum(_COSTS.get(type(part), 1) for each in inner for part in ast.walk(each))
        loop = Loop(tuple(rounds), element.run, self._slots, self.budget, cost)
        return loop, [*self._without_variables([*parts, element])]

    def _without_variables(self, parts: Iterable[Part]) -> Iterable[Part]:
        return [Part(p.run, p.change, p.fails, p.windows, pure=False, heavy=p.heavy, sums=p.sums) for p in parts]

    def _items(self, node: ast.Node, parts: list[Part]) -> Callable[[int], Iterable[Any]]:
        budget = self.budget
        if isinstance(node, ast.Sequence):
            elements = [self.bind(item) for item in node.items]
            parts += elements
            runs = [element.run for element in elements]
            return lambda now: [_or_missing(run, now) for run in runs]
        part = self.bind(node)
        parts.append(part)
        run = part.run
        iterate = library.iterable
        return lambda now: budget.lazily(iterate(run(now)))

    def _target(self, target: ast.Target, scope: dict[str, int]) -> Target:
        if target.names:
            return Target(-1, tuple(self._target(name, scope) for name in target.names))
        self._slots.append(None)
        scope[target.id] = len(self._slots) - 1
        return Target(scope[target.id])

    _MAKERS: ClassVar[dict[type, Callable[[Binder, Any], Part]]] = {
        ast.Literal: _literal,
        ast.Name: _name,
        ast.Sequence: _sequence,
        ast.Call: _call,
        ast.Attribute: _attribute,
        ast.Subscript: _subscript,
        ast.Unary: _unary,
        ast.Binary: _binary,
        ast.Compare: _compare,
        ast.Logic: _logic,
        ast.IfElse: _if_else,
        ast.Comprehension: _comprehension,
    }
    """How the part of a node is made, by the type of the node."""


def _mode(left: Kind, right: Kind) -> Mode:
    if not (left.numpy or right.numpy):
        return "python"
    return "numpy bool" if left.name == right.name == "bool" else "numpy"


def _or_missing(run: Run, now: int) -> Any:
    try:
        return run(now)
    except Unknown as missing:
        return Missing(missing.why)


def _chained(tests: list[Callable[[Run, Run], Run]], parts: list[Part]) -> Run:
    """`a < b < c`: each operand once; stops at the first comparison that does not hold."""
    held: list[Any] = [None] * len(parts)
    steps = [
        test(lambda _now, i=i: held[i], lambda _now, i=i: held[i + 1])  # type: ignore[misc]
        for i, test in enumerate(tests)
    ]
    runs = [part.run for part in parts]

    def run(now: int) -> Any:
        held[0] = runs[0](now)
        found: Any = True
        for i, step in enumerate(steps):
            held[i + 1] = runs[i + 1](now)
            found = step(now)
            if i < len(steps) - 1 and not truth(found):
                break
        return found

    return run


def _careful(operate: Callable[[Any, Any], Any], left: Run, right: Run, care: window_parts.Care) -> Run:
    """A comparison with sums in it: close calls are made again with sums in Python's order."""

    def run(now: int) -> Any:
        a, b = left(now), right(now)
        if not care.on and (a.__class__ is Series or b.__class__ is Series or _near(a, b)):
            care.on = True
            try:
                a, b = left(now), right(now)
            finally:
                care.on = False
        return operate(a, b)

    return run


def _as_series(part: Part) -> Part:
    def run(now: int) -> Any:
        value = part.run(now)
        return value if isinstance(value, str) else Series([value], "other")

    return combined(run, [part])


def _near(a: Any, b: Any) -> bool:
    if not (isinstance(a, int | float) and isinstance(b, int | float)):
        return False
    return abs(a - b) <= window_parts.NEAR * max(abs(a), abs(b))
