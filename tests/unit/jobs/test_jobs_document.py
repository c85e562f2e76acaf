"""YAML and JSON as a tree with places: raw text, places inside scalars, limits, explained errors."""

import json

import pytest

from edgesched.core.jobs.document import LONGEST_TEXT, Mapping, Scalar, Sequence, read_document


def value_of(text: str, key: str = "k") -> Scalar:
    """Read `text` and return the scalar under `key`."""
    root = read_document(text).root
    assert isinstance(root, Mapping)
    values = {entry.text: value for entry, value in root.entries}
    found = values[key]
    assert isinstance(found, Scalar)
    return found


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("1.50", "1.50"),
        ("yes", "yes"),
        ("2020-01-01", "2020-01-01"),
        ("0x10", "0x10"),
        ("1e3", "1e3"),
        ("'a''b'", "a'b"),
    ],
)
def test_scalars_keep_the_text_that_was_written(written: str, text: str) -> None:
    """A text field gets what the author typed, as the reference's parser gives it."""
    assert value_of(f"k: {written}\n").text == text


@pytest.mark.parametrize(
    ("written", "kind"),
    [("", "nothing"), ("~", "nothing"), ("'null'", "text"), ("on", "flag"), ("'on'", "text"), ("-94.43", "number")],
)
def test_the_kind_is_that_of_yaml_1_1(written: str, kind: str) -> None:
    """Quoting makes text; bare words keep their YAML 1.1 meaning."""
    assert value_of(f"k: {written}\n").kind == kind


@pytest.mark.parametrize(
    ("source", "wanted", "place"),
    [
        ("k: plain X text\n", "X", (1, 10)),
        ("k: plain\n   folded X\n", "X", (2, 11)),
        ("k: 'it''s X'\n", "X", (1, 11)),
        ("k: 'two\n  lines X'\n", "X", (2, 9)),
        ('k: "tab\\t X"\n', "X", (1, 11)),
        ('k: "\\u0041\\\n  joined X"\n', "X", (2, 10)),
        ("k: |\n  first\n  X second\n", "X", (3, 3)),
        ("k: >-\n  first\n\n    X indented\n", "X", (4, 5)),
        ("k: |2\n   X\n", "X", (2, 4)),
        ("k: &a !!str # note\n  X\n", "X", (2, 3)),
        ("# head\r\nk: 'a\r\n  X'\r\n", "X", (3, 3)),
    ],
)
def test_a_character_of_a_value_is_found_in_the_file(source: str, wanted: str, place: tuple[int, int]) -> None:
    """Whatever YAML did to a value, the place of a character of it is that of the file."""
    scalar = value_of(source)
    assert scalar.place(scalar.text.index(wanted)) == place


def test_a_blank_inside_a_value_is_placed_after_what_precedes_it() -> None:
    """Blanks are placed too, and the end of a value is behind its last character."""
    scalar = value_of("k: 'ab  cd'\n")
    assert [scalar.place(offset) for offset in (2, 3, 6)] == [(1, 7), (1, 8), (1, 11)]


def test_json_is_read_with_tabs_and_surrogate_pairs() -> None:
    """JSON that YAML alone would refuse or garble is read as JSON means it."""
    document = read_document('{\n\t"k": "\\ud83d\\ude00",\n\t"l": "a\\/b"\n}')
    assert document.findings == ()
    assert isinstance(document.root, Mapping)
    assert [(value.text, value.place()) for _, value in document.root.entries if isinstance(value, Scalar)] == [
        ("\U0001f600", (2, 7)),
        ("a/b", (3, 7)),
    ]


def test_merge_keys_and_aliases_are_resolved() -> None:
    """A map takes in another one; its own keys win."""
    document = read_document("base: &b {a: 1, c: 2}\nk:\n  <<: *b\n  a: 9\n")
    assert isinstance(document.root, Mapping)
    merged = document.root.entries[1][1]
    assert isinstance(merged, Mapping)
    assert {key.text: value.text for key, value in merged.entries if isinstance(value, Scalar)} == {"a": "9", "c": "2"}


def test_only_the_first_document_counts_and_a_warning_says_so() -> None:
    """A second document is not read, not even its faults."""
    document = read_document("k: 1\n---\n{broken")
    assert isinstance(document.root, Mapping)
    assert [(finding.severity, finding.code) for finding in document.findings] == [("warning", "yaml.documents")]


def test_a_key_given_twice_is_an_error_at_the_second() -> None:
    """The finding stands at the second key and names the line of the first."""
    findings = read_document("k: 1\nl: 2\nk: 3\n").findings
    assert [(finding.code, finding.line, "line 1" in finding.message) for finding in findings] == [
        ("yaml.duplicate", 3, True)
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * 5000, "yaml.depth"),
        ("a: " + "{a: " * 40, "yaml.depth"),
        ("k: " + "x" * LONGEST_TEXT, "yaml.size"),
        ("a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)), "yaml.alias"),
        ("k: &a [*a]", "yaml.alias"),
        ("k: *nobody", "yaml.alias"),
        ("k: !!python/object/apply:os.system [id]", "yaml.tag"),
        ("k: a\x00b", "yaml.character"),
        ("? [a]\n: b", "yaml.key"),
        ("k: 1\n<<: text", "yaml.merge"),
    ],
)  # fmt: skip
def test_bombs_and_oddities_are_one_finding(text: str, code: str) -> None:
    """Nothing that YAML can do to a reader gets further than a finding."""
    assert [finding.code for finding in read_document(text).findings] == [code]


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: b: c", 1, 5, "a colon stands where no key can be"),
        ("a:\n\tb: 1", 2, 1, "a tab stands where YAML wants blanks"),
        ("a: [1,\nb: 2", 1, 4, "has no matching ]"),
        ("- a\nb: c", 2, 1, "indented differently"),
        ("a: 'x\nb: c\n", 1, 4, "the quote that opens here is never closed"),
        ("k: v\nplain\nl: w\n", 2, 1, "neither a `key: value` nor a `- item`"),
        ("x: @a", 1, 4, "cannot begin with @"),
        ('a: "\\q"', 1, 6, "a backslash with 'q'"),
        ("a: |x\n b", 1, 5, "text follows | or >"),
        ("a: 'it's'", 1, 8, "text follows a value that has ended"),
    ],
)
def test_yaml_errors_are_explained_where_they_are(text: str, line: int, column: int, words: str) -> None:
    """The author reads which character to change, not which grammar rule failed."""
    (finding,) = read_document(text).findings
    assert (finding.line, finding.column) == (line, column)
    assert words in finding.message
    assert finding.hint


def test_a_template_placeholder_is_named_and_reading_goes_on() -> None:
    """`{{ name }}` is no YAML error but a value to fill in."""
    document = read_document("name: {{ job }}\nnodes:\n  {{ vsn }}:\nargs: [{a: 1}]\n")
    assert [finding.message.split()[1] for finding in document.findings] == ["job", "vsn"]
    assert isinstance(document.root, Mapping)
    arguments = document.root.entries[2][1]
    assert isinstance(arguments, Sequence)
    assert isinstance(arguments.items[0], Mapping)


def test_a_json_document_of_any_size_is_read_as_json_reads_it() -> None:
    """Quoted keys and nested values come out as the json module gives them."""
    wanted = {"k": {"a b": ["x", "y: z", "# no comment"], "c": "{{ x }}"}}
    document = read_document(json.dumps(wanted, indent=1))
    assert isinstance(document.root, Mapping)
    inner = document.root.entries[0][1]
    assert isinstance(inner, Mapping)
    items = inner.entries[0][1]
    assert isinstance(items, Sequence)
    assert [item.text for item in items.items if isinstance(item, Scalar)] == wanted["k"]["a b"]
    assert document.findings == ()
