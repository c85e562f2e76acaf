"""Waggle messages: what counts as a measurement, what is rejected and why, and what goes on the wire."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesched.adapters.logpublisher import LogPublisher
from edgesched.core.messages import (
    MAX_PAYLOAD_BYTES,
    Rejected,
    decode_measurement,
    encode_measurement,
    encode_message,
    event_value,
    is_name,
    measurement_from_object,
    name_of,
    parse_measurement_line,
    parse_rfc3339,
    read_measurements,
    topic_of,
)
from edgesched.core.model import Measurement, Message
from edgesched.errors import InputError

NAME = "env.temperature"
NOW_NS = 1_795_345_363_710_993_628


def heard(payload: str | bytes, *, retained: bool = False) -> Measurement | Rejected:
    """Decode a payload on the topic of `NAME`, received at `NOW_NS`."""
    raw = payload.encode() if isinstance(payload, str) else payload
    return decode_measurement(raw, topic_name=NAME, received_ns=NOW_NS, retained=retained)


def test_wire_form_keeps_every_nanosecond() -> None:
    """The form that plugins publish is read without loss."""
    got = heard('{"name":"env.temperature","ts":1795345203275067311,"val":21.5,"meta":{"sensor":"bme280"}}')
    assert got == Measurement(NAME, 1795345203275067311, 21.5, {"sensor": "bme280"})


def test_data_api_form_is_read_from_a_broker_too() -> None:
    """The form that the data API answers with means the same."""
    got = heard('{"timestamp":"2023-03-15T10:19:29.999999999Z","name":"env.temperature","value":3,"meta":{"vsn":"W1"}}')
    assert got == Measurement(NAME, 1678875569_999999999, 3, {"vsn": "W1"})


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ("21.5", 21.5),
        (" -3 \n", -3),
        ("1e3", 1000.0),
        ("true", True),
        ('"wet"', "wet"),
        ("wet", "wet"),
        ("door open", "door open"),
        ("1.2.3", "1.2.3"),
        ("21,5", "21,5"),
    ],
)
def test_bare_value_has_the_time_of_receipt(payload: str, value: object) -> None:
    """A sensor that sends only a number or a word is understood."""
    got = heard(payload)
    assert got == Measurement(NAME, NOW_NS, value, {})
    assert isinstance(got, Measurement)
    assert type(got.value) is type(value)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "shape"),
        (b"  ", "shape"),
        (b"\xff\xfe1", "encoding"),
        ('{"val": 1', "json"),
        ("[1, 2", "json"),
        ('"open', "json"),
        ("[" * 50_000, "json"),
        ("[1, 2]", "value"),
        ("null", "value"),
        ("NaN", "value"),
        ("nan", "value"),
        ("-Infinity", "value"),
        ("inf", "value"),
        ("1e999", "value"),
        ("x" * 4097, "value"),
        ("9" * 5000, "value"),
        ("9" * 400, "value"),
        ('{"val": null}', "value"),
        ('{"val": {"a": 1}}', "value"),
        ('{"val": [1]}', "value"),
        ('{"val": NaN}', "value"),
        ('{"val": 1e999}', "value"),
        ('{"val": -1e999}', "value"),
        ("{}", "shape"),
        ('{"ts": 5}', "shape"),
        ('{"name": "env.pressure", "val": 1}', "name"),
        ('{"name": null, "val": 1}', "name"),
        ('{"name": 7, "val": 1}', "name"),
        ('{"name": "env/temperature", "val": 1}', "name"),
        ('{"ts": "5", "val": 1}', "ts"),
        ('{"ts": 5.0, "val": 1}', "ts"),
        ('{"ts": true, "val": 1}', "ts"),
        ('{"ts": -1, "val": 1}', "ts"),
        ('{"ts": 9223372036854775808, "val": 1}', "ts"),
        ('{"timestamp": 5, "val": 1}', "ts"),
        ('{"timestamp": "yesterday", "val": 1}', "ts"),
        ('{"timestamp": "2023-02-30T00:00:00Z", "val": 1}', "ts"),
        ('{"timestamp": "2023-03-15T10:19:29", "val": 1}', "ts"),
        ('{"val": 1, "meta": {"height": 3}}', "meta"),
        ('{"val": 1, "meta": {"height": null}}', "meta"),
        ('{"val": 1, "meta": ["a"]}', "meta"),
        ('{"val": 1, "meta": "a"}', "meta"),
        (json.dumps({"val": 1, "meta": {f"k{n}": "" for n in range(65)}}), "meta"),
        (json.dumps({"val": 1, "meta": {"k": "x" * 1025}}), "meta"),
        ('{"val": "aGk=", "enc": "b64"}', "binary"),
        ('{"val": "\\ud800"}', "encoding"),
        ('{"val": 1, "meta": {"k": "\\udfff"}}', "encoding"),
        ('{"val": "' + "x" * MAX_PAYLOAD_BYTES + '"}', "size"),
    ],
)
def test_bad_payload_is_rejected_by_name(payload: str | bytes, reason: str) -> None:
    """Nothing that a plugin can send raises or reaches a window; each has its own counter."""
    got = heard(payload)
    assert isinstance(got, Rejected)
    assert got.reason == reason
    assert 0 < len(got.detail) < 300


def test_details_are_plain_words() -> None:
    """The reason that an operator reads says what is wrong with what."""
    got = heard('{"name": "env.pressure", "val": 1}')
    assert got == Rejected("name", "payload says 'env.pressure', topic says env.temperature")
    assert heard("null") == Rejected("value", "null is not a number or text")


@pytest.mark.parametrize("payload", ["21.5", '{"val": 21.5}', '{"name":"env.temperature","val":21.5,"meta":{}}'])
def test_retained_value_without_time_does_not_count(payload: str) -> None:
    """What a broker kept for an unknown time is not a value of now."""
    got = heard(payload, retained=True)
    assert isinstance(got, Rejected)
    assert got.reason == "retained"


def test_retained_value_with_time_counts_at_that_time() -> None:
    """A retained message that says when it was measured is as good as any."""
    assert heard('{"val":1,"ts":5}', retained=True) == Measurement(NAME, 5, 1, {})
    got = heard('{"value":1,"timestamp":"1970-01-01T00:00:00.000000007Z"}', retained=True)
    assert got == Measurement(NAME, 7, 1, {})


def test_object_without_time_has_the_time_of_receipt() -> None:
    """Meta without a time is allowed; null stands for absent."""
    assert heard('{"val":1,"ts":null,"meta":null}') == Measurement(NAME, NOW_NS, 1, {})


def test_big_integers_stay_exact_up_to_the_rule_language_limit() -> None:
    """An integer within 2**1024 is kept as it is."""
    got = heard(f'{{"val": {2**1023}}}')
    assert isinstance(got, Measurement)
    assert got.value == 2**1023


def test_surrogate_pairs_are_text_like_any_other() -> None:
    """An escaped emoji is not mistaken for half a pair."""
    got = heard('{"val": "\\ud83c\\udf27"}')
    assert got == Measurement(NAME, NOW_NS, "\N{CLOUD WITH RAIN}", {})


@given(payload=st.binary(max_size=200))
def test_no_bytes_can_raise(payload: bytes) -> None:
    """Whatever arrives is a measurement or a reason."""
    assert isinstance(heard(payload), Measurement | Rejected)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "name": st.just(NAME) | JSON_VALUES,
            "ts": st.integers(0, 2**63) | JSON_VALUES,
            "timestamp": st.just("2023-03-15T10:19:29Z") | JSON_VALUES,
            "val": JSON_VALUES,
            "value": JSON_VALUES,
            "meta": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3) | JSON_VALUES,
            "enc": st.just("b64") | JSON_VALUES,
        },
    )
)
def test_what_is_accepted_is_safe(fields: dict[str, object]) -> None:
    """An accepted measurement has a finite value, text that encodes, string meta and a time that fits 64 bits."""
    got = heard(json.dumps(fields))
    if isinstance(got, Rejected):
        return
    assert got.name == NAME
    assert type(got.ts_ns) is int
    assert 0 <= got.ts_ns < 2**63
    assert isinstance(got.value, int | float | str)
    assert not isinstance(got.value, float) or math.isfinite(got.value)
    assert decode_measurement(encode_measurement(got), topic_name=NAME, received_ns=0) == got


# --- lines of a recording --------------------------------------------------------------------------------------------


def test_lines_in_both_forms_mean_the_same() -> None:
    """A recording may mix what was heard on a broker with what the data API gave."""
    lines = [
        '{"name":"a.b","ts":1500000000,"val":1}\n',
        "\n",
        '{"name":"a.b","timestamp":"1970-01-01T00:00:01.5Z","value":1,"meta":{}}\r\n',
    ]
    assert list(read_measurements(lines)) == [Measurement("a.b", 1_500_000_000, 1, {})] * 2


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "json"),
        ("5", "shape"),
        ('{"ts":1,"val":1}', "name"),
        ('{"name":"a b","ts":1,"val":1}', "no measurement name: 'a b'"),
        ('{"name":"a/#","ts":1,"val":1}', "name"),
        ('{"name":"a","val":1}', "no ts and no timestamp"),
        ('{"name":"a","ts":1}', "shape"),
        ('{"name":"a","ts":1,"val":null}', "null"),
        ('{"name":"a","ts":1,"val":Infinity}', "finite"),
        ("[" * 60_000, "json"),
    ],
)
def test_bad_line_is_named_by_number(line: str, part: str) -> None:
    """The error of a recording says which line and what is wrong with it."""
    with pytest.raises(InputError) as caught:
        list(read_measurements(['{"name":"a","ts":1,"val":1}', line]))
    assert caught.value.line == 2
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_line_number_is_that_of_the_caller() -> None:
    """A single line carries the number that its reader gives."""
    with pytest.raises(InputError) as caught:
        parse_measurement_line("{}", line=17)
    assert caught.value.line == 17


def test_object_in_a_data_set() -> None:
    """An object inside a larger JSON document is judged like a line."""
    assert measurement_from_object({"name": "a", "ts": 3, "val": "x"}) == Measurement("a", 3, "x", {})
    with pytest.raises(InputError, match="no measurement name") as caught:
        measurement_from_object({"ts": 3, "val": "x"}, path="datasets.a[0]")
    assert caught.value.path == "datasets.a[0]"


def test_the_example_recording_is_readable() -> None:
    """The rain example rises by more than 10 mm an hour within 30 s, and its names are those that the job uses."""
    path = Path(__file__).parents[2] / "examples/measurements/rain.ndjson"
    with path.open() as lines:
        recording = list(read_measurements(lines))
    rain = [m for m in recording if m.name == "env.raingauge.event_acc"]
    assert rain[0].value == 0
    first = next(m for m in rain if m.value > 0)
    assert (first.ts_ns - rain[0].ts_ns) / 1e9 < 30
    assert first.value * 3600 / 5 > 10
    assert {"env.relative_humidity", "env.temperature"} <= {m.name for m in recording}


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-22T10:58:51.124638418Z", 1795345131_124638418),
        ("2026-11-22t10:58:51z", 1795345131_000000000),
        ("2026-11-22 10:58:51.5+02:00", 1795337931_500000000),
        ("2026-11-22T05:28:51-05:30", 1795345131_000000000),
        ("1969-12-31T23:59:59.9Z", -100_000_000),
        ("2026-11-22T10:58:51.1234567899Z", 1795345131_123456789),
    ],
)
def test_times_are_exact(text: str, ns: int) -> None:
    """Nine decimals survive, further ones are cut, zones count."""
    assert parse_rfc3339(text) == ns


@given(moment=st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_agree_with_datetime(moment: datetime) -> None:
    """Our arithmetic is that of the standard library, to the microsecond."""
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    expected_ns = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    assert parse_rfc3339(moment.isoformat()) == expected_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-22",
        "2026-11-22T10:58:51",
        "2026-13-01T00:00:00Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T10:60:00Z",
        "2026-11-22T10:58:60Z",
        "٢٠٢٦-11-22T10:58:51Z",
        "2026-11-22T10:58:51.Z",
        "2026-11-22T10:58:51Z\n",
    ],
)
def test_bad_times_are_refused(text: str) -> None:
    """What is no time, or has no zone, is not guessed."""
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["env.temperature", "a", "_x", "A-b_c.9", "a..b", "0", "x" * 128])
def test_names_and_topics_are_one_to_one(name: str) -> None:
    """A name leads to one topic and back."""
    assert is_name(name)
    assert name_of(topic_of(name)) == name
    assert "." not in topic_of(name)


@pytest.mark.parametrize(
    "name", ["", "#", "+", "a.#", "a.+.b", "a/b", "$SYS.x", ".a", "-a", "a b", "a\0", "a\n", "x" * 129, "é"]
)
def test_wildcards_and_odd_characters_are_no_names(name: str) -> None:
    """Nothing that a broker would read as more than one topic passes for a name."""
    assert not is_name(name)


# --- said ------------------------------------------------------------------------------------------------------------


def test_scheduler_event_has_the_bytes_of_the_reference() -> None:
    """`val` is JSON text inside JSON, keys sorted, HTML characters escaped twice over."""
    message = Message(
        "sys.scheduler.status.plugin.queued",
        1795345363710966968,
        {"reason": "triggered by v('x') > 3 & <b>", "goal_id": "45af", "plugin_selector": '{"resource.gpu":"true"}'},
        as_text=True,
    )
    assert encode_message(message) == (
        b'{"name":"sys.scheduler.status.plugin.queued","ts":1795345363710966968,"meta":{},'
        b'"val":"{\\"goal_id\\":\\"45af\\",\\"plugin_selector\\":\\"{\\\\\\"resource.gpu\\\\\\":\\\\\\"true\\\\\\"}\\",'
        b'\\"reason\\":\\"triggered by v(\'x\') \\\\u003e 3 \\\\u0026 \\\\u003cb\\\\u003e\\"}"}'
    )


def test_event_fields_survive_the_escapes() -> None:
    """A reader gets back what was written, whatever characters it has."""
    fields = {"a": "<&>\u2028\u2029 \N{SNOWMAN}", "return_code": 137, "b": ["x"], "none": None}
    assert json.loads(event_value(fields)) == fields
    assert not set("<>&\u2028\u2029") & set(event_value(fields))


def test_message_id_goes_beside_meta() -> None:
    """The id never becomes a tag of a stored series, and is absent where the transport has a place for it."""
    message = Message("a.b", 7, 1, {"k": "v"}, message_id="m-1")
    assert encode_message(message) == b'{"name":"a.b","ts":7,"meta":{"k":"v"},"val":1}'
    assert encode_message(message, with_id=True) == b'{"name":"a.b","ts":7,"meta":{"k":"v"},"val":1,"id":"m-1"}'
    assert decode_measurement(encode_message(message, with_id=True), topic_name="a.b", received_ns=0) == Measurement(
        "a.b", 7, 1, {"k": "v"}
    )


def test_binary_value_is_base64() -> None:
    """Bytes travel as the Waggle libraries expect them."""
    assert json.loads(encode_message(Message("a", 7, b"\0\xff"))) == {
        "name": "a", "ts": 7, "meta": {}, "val": "AP8=", "enc": "b64",
    }  # fmt: skip


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_value_that_json_cannot_say_is_an_error_of_ours(value: object) -> None:
    """No reader is handed text that is not JSON."""
    with pytest.raises(InputError, match="cannot be written as JSON"):
        encode_message(Message("a", 7, value))


def test_log_publisher_writes_one_line_a_message() -> None:
    """Without a broker, events are read in the log under their short names; fields cannot shadow the line's own."""
    lines: list[tuple[str, dict[str, object]]] = []
    publisher = LogPublisher(lambda event, **fields: lines.append((event, fields)))
    publisher.publish(
        [
            Message("sys.scheduler.status.plugin.complete", 7, {"plugin_name": "p", "level": "x"}, as_text=True),
            Message("env.event.rain", 8, 1, scope="node"),
        ]
    )
    assert lines == [
        ("event.published", {"level": "info", "name": "plugin.complete", "scope": "all", "plugin_name": "p"}),
        ("event.published", {"level": "info", "name": "env.event.rain", "scope": "node", "value": 1}),
    ]
