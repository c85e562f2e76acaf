"""Random trees and texts of conditions."""

from keyword import iskeyword

from hypothesis import strategies as st

from edgesched.core.rules import ast

NAMES = st.one_of(
    st.sampled_from(["v", "avg", "time", "x", "y", "value_2", "é"]),
    st.from_regex(r"[a-z_][a-z0-9_]{0,4}", fullmatch=True).filter(lambda name: not iskeyword(name)),
)
LITERALS = st.one_of(
    st.booleans().map(lambda value: ast.Literal(value, "bool")),
    st.integers(0, 1 << 80).map(lambda value: ast.Literal(value, "int")),
    st.floats(0, allow_nan=False).map(lambda value: ast.Literal(value, "float")),
    st.text(max_size=8).map(lambda value: ast.Literal(value, "str")),
    st.just(ast.Literal(None, "none")),
)
LEVELS = [("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/", "//", "%")]
COMPARISONS = ["<", "<=", ">", ">=", "==", "!=", "in", "not in", "is", "is not"]


def chain(nodes: st.SearchStrategy[ast.Node], operators: tuple[str, ...]) -> st.SearchStrategy[ast.Node]:
    """Operands with operators of one precedence between them."""
    rest = st.lists(st.tuples(st.sampled_from(operators), nodes), min_size=1, max_size=3).map(tuple)
    return st.builds(ast.Binary, nodes, rest)


def targets() -> st.SearchStrategy[ast.Target]:
    """Names to bind, also nested."""
    name = NAMES.map(lambda id_: ast.Target(id=id_))
    return st.recursive(
        name, lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda ts: ast.Target(tuple(ts))), max_leaves=4
    )


def calls(nodes: st.SearchStrategy[ast.Node]) -> st.SearchStrategy[ast.Node]:
    """Calls with arguments of both kinds."""
    keywords = st.lists(nodes, max_size=2).map(
        lambda values: tuple(ast.Keyword(name, value) for name, value in zip(("since", "é"), values, strict=False))
    )
    return st.builds(ast.Call, nodes, st.lists(nodes, max_size=3).map(tuple), keywords)


def larger(nodes: st.SearchStrategy[ast.Node]) -> st.SearchStrategy[ast.Node]:
    """Nodes made of smaller ones."""
    optional = st.none() | nodes
    clauses = st.builds(ast.Clause, targets(), nodes, st.lists(nodes, max_size=2).map(tuple))
    return st.one_of(
        *(chain(nodes, level) for level in LEVELS),
        st.builds(lambda a, b: ast.Binary(a, (("**", b),)), nodes, nodes),
        st.builds(ast.Unary, st.sampled_from(["not", "-", "+", "~"]), nodes),
        st.builds(
            ast.Compare,
            nodes,
            st.lists(st.tuples(st.sampled_from(COMPARISONS), nodes), min_size=1, max_size=3).map(tuple),
        ),
        st.builds(ast.Logic, st.sampled_from(["and", "or"]), st.lists(nodes, min_size=2, max_size=4).map(tuple)),
        st.builds(ast.IfElse, nodes, nodes, nodes),
        st.builds(ast.Sequence, st.sampled_from(["list", "tuple"]), st.lists(nodes, max_size=3).map(tuple)),
        st.builds(ast.Attribute, nodes, NAMES),
        st.builds(ast.Subscript, nodes, nodes | st.builds(ast.Slice, optional, optional, optional)),
        st.builds(
            ast.Comprehension,
            st.sampled_from(["list", "generator"]),
            nodes,
            st.lists(clauses, min_size=1, max_size=2).map(tuple),
        ),
        calls(nodes),
    )


_TREES: st.SearchStrategy[ast.Node] = st.recursive(LITERALS | NAMES.map(ast.Name), larger, max_leaves=12)


@st.composite
def trees(draw: st.DrawFn) -> ast.Node:
    """Trees of any shape that the grammar has, also such as mean nothing."""
    return draw(_TREES)


# --- texts that Python and the rule language understand alike: numbers that add up exactly, and lists of them

_NUMBER = st.sampled_from(["0", "1", "2", "3", "7", "10", "0.5", "2.5", "1e3", "True", "False", "-1", "0x10", "1_0"])
_TEXT = st.sampled_from(["'a'", "'b'", "'abc'", '""', "'it\\'s'", "str(3)"])


def _join(pattern: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda found: pattern.format(*found))


def _numbers(of: st.SearchStrategy[str], lists: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    op = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    return st.one_of(
        _join("({} {} {})", of, op, of),
        _join("({} {} {})", of, st.sampled_from(["&", "|", "^", "<<", ">>"]), of),
        _join("({} ** {})", of, st.sampled_from(["2", "3", "0", "-1"])),
        _join("{}{}", st.sampled_from(["-", "+", "~", "not "]), of).map(lambda text: f"({text})"),
        _join("({} if {} else {})", of, of, of),
        _join("({} {} {})", of, st.sampled_from(["and", "or"]), of),
        _join("({} {} {})", of, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), of),
        _join("({} < {} <= {})", of, of, of),
        _join("({} {} {})", of, st.sampled_from(["in", "not in"]), lists),
        _join("{}({})", st.sampled_from(["len", "sum", "min", "max", "any", "all", "bool"]), lists),
        _join("{}({})", st.sampled_from(["abs", "int", "float", "bool", "round"]), of),
        _join("{}[{}]", lists, st.sampled_from(["0", "-1", "1", "True"])),
        _join("({} {} {})", lists, st.sampled_from(["==", "!=", "<", ">="]), lists),
        _join("({} {} {})", _TEXT, st.sampled_from(["==", "!=", "<", "in", "not in"]), _TEXT),
        _join("sum({} for x in {} if x > 1)", st.sampled_from(["x", "x * 2", "1"]), lists),
        _join("{}(x {} {} for x in {})", st.sampled_from(["any", "all"]), st.sampled_from(["<", "=="]), of, lists),
        _join("({} is {})", of, st.sampled_from(["None", "not None", "True"])),
        _join("round({}, {})", of, st.sampled_from(["0", "1", "-1"])),
        _join("pow({}, {})", of, st.sampled_from(["2", "1"])),
    )


def _lists(numbers: st.SearchStrategy[str], of: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(numbers, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        _join("({}, {})", numbers, numbers),
        _join("sorted({})", of),
        _join("list(reversed({}))", of),
        _join("{}[{}]", of, st.sampled_from(["1:", "::-1", ":2", "-1:", "::2"])),
        _join("[x {} for x in {}]", st.sampled_from(["- 1", "+ 1", "> 1"]), of),
        _join("[a - b for a, b in zip({}, {})]", of, of),
        _join("[i * x for i, x in enumerate({})]", of),
        _join("list(range({}))", st.sampled_from(["3", "1, 4", "5, 0, -2", "0"])),
        _join("tuple({})", of),
    )


def python_texts(depth: int = 3) -> st.SearchStrategy[str]:
    """Conditions that Python's eval answers in the same way."""
    numbers, lists = _NUMBER, st.just("[1, 2.5, 0]")
    for _ in range(depth):
        numbers, lists = _NUMBER | _numbers(numbers, lists), lists | _lists(numbers, lists)
    return numbers
