"""Recorded measurements from files; times on the command line."""

import gzip
from pathlib import Path

import pytest

from edgesched.errors import InputError
from edgesched.replay.history import read_history
from edgesched.replay.moments import parse_moment, rfc3339, short_time

WIRE = '{"name":"env.rain","ts":2000000000,"val":2.5,"meta":{"sensor":"a"}}'
DATA_API = '{"name":"env.rain","timestamp":"1970-01-01T00:00:01.5Z","value":1,"meta":{}}'


def test_both_spellings_in_the_order_of_time(tmp_path: Path) -> None:
    """Wire and data API lines mix; the file's order does not matter."""
    file = tmp_path / "m.ndjson"
    file.write_text(f"{WIRE}\n\n{DATA_API}\n")
    history = read_history(str(file))
    assert [(each.ts_ns, each.value) for each in history.measurements] == [(1_500_000_000, 1), (2_000_000_000, 2.5)]
    assert (history.first_ns, history.last_ns, history.lines, history.refused) == (1_500_000_000, 2_000_000_000, 2, 0)


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    """The name of the file does not matter."""
    file = tmp_path / "m.ndjson"
    file.write_bytes(gzip.compress(WIRE.encode(), mtime=0))
    assert len(read_history(str(file)).measurements) == 1


def test_unwanted_names_are_not_kept_but_count_for_the_span(tmp_path: Path) -> None:
    """The replay lasts as long as the recording, whatever the rules read of it."""
    file = tmp_path / "m.ndjson"
    file.write_text(f'{WIRE}\n{{"name":"other","ts":9000000000,"val":1,"meta":{{}}}}\n')
    history = read_history(str(file), names={"env.rain"})
    assert len(history.measurements) == 1
    assert history.last_ns == 9_000_000_000


def test_bad_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    """An export with null values is of use; the first refusal is told with its line."""
    file = tmp_path / "m.ndjson"
    file.write_text(f'{WIRE}\n{{"name":"env.rain","ts":1,"val":null,"meta":{{}}}}\nnonsense\n')
    history = read_history(str(file))
    assert (len(history.measurements), history.refused) == (1, 2)
    assert history.first_refusal.startswith("line 2: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name,timestamp,value\n", "no line of it is a measurement; line 1: "),
        (b"\xff\xfe\x00", "can't decode"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "end-of-stream"),
    ],
)
def test_something_else_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """A file of another kind is one line with the file's name."""
    file = tmp_path / "m.csv"
    file.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_history(str(file))
    assert str(file) in str(caught.value)


def test_a_missing_file_is_one_line() -> None:
    """The reason is the operating system's."""
    with pytest.raises(InputError, match=r"^no-such/m: No such file or directory$"):
        read_history("no-such/m")


@pytest.mark.parametrize(
    ("text", "ts_ns"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-02", 86_400_000_000_000),
        ("1970-01-01 00:01", 60_000_000_000),
        ("1970-01-01T01:00:00.5+01:00", 500_000_000),
    ],
)
def test_moments(text: str, ts_ns: int) -> None:
    """RFC 3339, dates, and times without a zone, which are UTC."""
    assert parse_moment(text) == ts_ns


@pytest.mark.parametrize("text", ["yesterday", "1970-13-01", "12:00", "1970-01-01T25:00:00Z", ""])
def test_what_is_no_moment(text: str) -> None:
    """Anything else is an InputError."""
    with pytest.raises(InputError):
        parse_moment(text)


def test_moments_are_written_in_utc() -> None:
    """Milliseconds appear only when there are some."""
    assert rfc3339(1_000_000_000) == "1970-01-01T00:00:01Z"
    assert rfc3339(1_250_000_001) == "1970-01-01T00:00:01.250Z"
    assert short_time(90_000_000_000, whole=True) == "1970-01-01 00:01:30"
