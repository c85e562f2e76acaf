"""The grammar: what is read, what is refused, with which words."""

import time

import pytest

from edgesched.core.rules import excerpt
from edgesched.core.rules.parser import parse
from edgesched.core.rules.printer import to_text
from edgesched.errors import RuleSyntaxError


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("1+2*3", "1 + 2 * 3"),
        ("(1+2)*3", "(1 + 2) * 3"),
        ("1-(2-3)", "1 - (2 - 3)"),
        ("-2**-3**2", "-2 ** -3 ** 2"),
        ("(-2)**2", "(-2) ** 2"),
        ("not a==b", "not a == b"),
        ("(not a)==b", "(not a) == b"),
        ("a or b and not c", "a or b and not c"),
        ("(a or b)and c", "(a or b) and c"),
        ("a<b<=c!=d", "a < b <= c != d"),
        ("a not  in b is not c", "a not in b is not c"),
        ("x if a else y if b else z", "x if a else y if b else z"),
        ("(x if a else y)if b else z", "(x if a else y) if b else z"),
        ("a|b^c&d<<1", "a | b ^ c & d << 1"),
        ("'a' \"b\"'''c'''", "'abc'"),
        (r"r'\d' u'\x41\u00e9\N{DIGIT ONE}\101'", r"'\\dA\xe91A'"),
        ("1_000+0x1F+0b11+0o17", "1000 + 31 + 3 + 15"),
        (".5+1.+1e3+1_0.5E-1", "0.5 + 1.0 + 1000.0 + 1.05"),
        ("f( a ,b, k = 1 , )", "f(a, b, k=1)"),
        ("f(x for x in y)", "f(x for x in y)"),
        ("f((x for x in y), 1)", "f((x for x in y), 1)"),
        ("[x for a,(b,)in c if d if e for f in g]", "[x for a, (b,) in c if d if e for f in g]"),
        ("a[1:][:2][::3][b:c:d][0]", "a[1:][:2][::3][b:c:d][0]"),
        ("()or(1,)or(1,2)or[]or[1,2,]", "() or (1,) or (1, 2) or [] or [1, 2]"),
        ("(1).real", "(1).real"),
        ("True \\\n and (False\n or\r\n True)  # why", "True and (False or True)"),
        ("\n True\r\n", "True"),
    ],
)
def test_texts_are_read_as_python_reads_them(text: str, printed: str) -> None:
    """The printed tree shows the grouping."""
    assert to_text(parse(text)) == printed


@pytest.mark.parametrize(
    ("text", "message", "hint", "column"),
    [
        ("any(v('a') > 2", "`(` is never closed", "missing `)`", 4),
        ("[1, (2]", "`]` does not close the `(` of column 5", "", 7),
        ("True)", "`)` closes nothing", "leave it out", 5),
        ("sum(v('a')) = 43", "`=` does not compare", "write `==`", 13),
        ("a && b", "`&&` is not an operator", "write `and`", 3),
        ("a || b", "`||` is not an operator", "write `or`", 3),
        ("!a", "`!` is not an operator", "write `not`", 1),
        ("a AND b", "`AND` is not an operator", "write `and`", 3),
        ("NOT a", "`NOT` is not an operator", "write `not`", 1),
        ("1 =< 2", "`=<` is not an operator", "write `<=`", 3),
        ("1 => 2", "`=>` is not an operator", "write `>=`", 3),
        ("a ? b : c", "`?` is not an operator", "if test else", 3),
        ("(x := 5) == 5", "`:=` is not part", "", 4),
        ("{'a': 1}", "dict and set displays", "list", 1),
        ("lambda x: x", "`lambda` is not part", "", 1),
        ("f(*a)", "not unpacked", "", 3),
        ("f'{x}' == 'a'", "f-strings", "", 1),
        ("b'a' == 'a'", "bytes", "", 1),
        ("1j == 1", "complex numbers", "", 2),
        ("007 == 7", "leading zeros", "write 7", 1),
        ("'abc", "has no end", "same quote", 1),
        ("“a” == 'a'", "typographic quote", 'write "', 1),
        ("a &gt; 1", "HTML", "&gt;", 3),
        ('f(\\"a\\")', "behind a backslash", "leave the backslashes out", 3),
        ("f(${x})", "template", "${", 3),
        ("after('a' since='b')", "follows a value", "comma or an operator", 11),
        ("f(a).", "full stop", "leave it out", 5),
        ("hot: v('a') > 1", "`:` cannot stand here", "schedule(plugin)", 4),
        ("", "is empty", "True", 1),
        ("# nothing", "is empty", "True", 1),
        ("a and", "ends too early", "operand", 6),
        ("a\nand b", "line ends inside", "brackets", 2),
        ("f(k=1, 2)", "without a name stands after", "", 8),
        ("f(k=1, k=2)", "k is given twice", "", 8),
        ("'\\x4' == 'a'", "cut short", "two backslashes", 1),
        ("[for for for in a]", "", "", 2),
        ("1\xa0+ 1", "blank that is not ASCII", "", 2),
    ],
)
def test_mistakes_have_a_place_and_a_hint(text: str, message: str, hint: str, column: int) -> None:
    """Each usual mistake is called by its name where it stands."""
    with pytest.raises(RuleSyntaxError) as caught:
        parse(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.column == column


@pytest.mark.parametrize(
    "text",
    [
        "(" * 64 + "1" + ")" * 64,
        "not " * 60 + "True",
        " + ".join(["1"] * 200),
        "[" * 63 + "]" * 63,
        "a" + ".b" * 60,
    ],
)
def test_what_is_within_the_limits_is_read(text: str) -> None:
    """Long sums and deep brackets are within reach of a rule."""
    assert parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 65 + "1" + ")" * 65,
        "not " * 70 + "True",
        "-" * 4000 + "1",
        "2 ** " * 70 + "1",
        "a" + "[0]" * 1300,
        "a" + "()" * 2000,
        "[" * 2000,
        "1 +" * 1010 + "1",
        "(" * 4000,
        "'" + "a" * 5000 + "'",
        "é" * 2049,
        "if " * 1300,
        "x if y else " * 300 + "z",
        "\\\n" * 2000,
    ],
)
def test_what_is_beyond_the_limits_is_refused_at_once(text: str) -> None:
    """No text exhausts the stack or takes long to be refused."""
    start = time.process_time()
    with pytest.raises(RuleSyntaxError):
        parse(text)
    assert time.process_time() - start < 1


def test_the_excerpt_points_at_the_place() -> None:
    """A caret stands under the column, also in a long line with control characters."""
    assert excerpt("a &&\tb", 1, 3) == "a && b\n  ^"
    shown, caret = excerpt("x" * 100 + "!" + "y" * 100, 1, 101).split("\n")
    assert shown[caret.index("^")] == "!"
    assert len(shown) < 80
    assert excerpt("a", 5, 1) == ""
