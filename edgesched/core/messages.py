"""What is said and heard: Waggle wire messages <-> `Measurement`, `Message` -> bytes. Pure.

Everything on the node's bus can be forged by any plugin, so a payload is judged here before it reaches a window: size,
types, finite numbers, text that can be shown and stored. A payload that fails is `Rejected` with one stable word (for
counters) and a detail (for people); nothing raises.

Two spellings of a measurement are read everywhere, on brokers and in files:

- wire:     `{"name","ts","val","meta","enc"}`, `ts` in ns since the epoch
- data API: `{"name","timestamp","value","meta"}`, `timestamp` in RFC 3339 with up to 9 decimals

Over MQTT also a bare JSON number, boolean or string, or plain text, with the time of receipt.

Kept from the reference: `meta` maps strings to strings and anything else spoils the message; `ts` is an integer; a
scheduler event carries its fields as JSON text inside `val`, keys sorted, `<`, `>` and `&` escaped as `\\u003c`...
Null, objects, arrays and binary values (`enc` = `b64`) never reached the reference's rules; here they are rejected by
name. `meta` is always written, `{}` when empty: one of the two known readers fails on a message without it.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal, NoReturn, cast

from edgesched.core.model import NS_PER_S, Measurement, Message
from edgesched.errors import InputError

MAX_PAYLOAD_BYTES: Final = 65_536
MAX_TEXT: Final = 4_096
MAX_META: Final = 64
MAX_META_TEXT: Final = 1_024
MAX_TS_NS: Final = 2**63 - 1
MAX_INT_BITS: Final = 1_024

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")

Reason = Literal["size", "encoding", "json", "shape", "name", "ts", "value", "meta", "binary", "retained"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A payload that is not a measurement. `reason` is stable; `detail` is one line, not yet escaped for showing."""

    reason: Reason
    detail: str


class _RejectedError(Exception):
    """Carries a `Rejected` out of the depth of decoding; never leaves this module."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.rejected = Rejected(reason, detail)


# --- names and topics ------------------------------------------------------------------------------------------------


def is_name(text: str) -> bool:
    """Tell whether `text` is a measurement name: no wildcard, blank, slash or control character can be in one."""
    return NAME.fullmatch(text) is not None


def topic_of(name: str) -> str:
    """Map a measurement name to its MQTT topic, as RabbitMQ's MQTT plugin maps routing keys: `/` for `.`."""
    return name.replace(".", "/")


def name_of(topic: str) -> str:
    """Map an MQTT topic to the measurement name that it carries."""
    return topic.replace("/", ".")


# --- time ------------------------------------------------------------------------------------------------------------

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def parse_rfc3339(text: str) -> int:
    """Convert an RFC 3339 time to ns since the epoch, exactly; decimals beyond the ninth are cut.

    Raises: ValueError: not such a time, or it has no zone.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a time such as 2026-11-22T10:58:51.5Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, _zulu, sign, zone_hour, zone_minute = match.groups()[6:]
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"{text[:40]!r}: no such time of day")
    seconds = (date(year, month, day).toordinal() - _EPOCH_DAY) * 86_400 + hour * 3600 + minute * 60 + second
    if sign:
        offset_s = int(zone_hour) * 3600 + int(zone_minute) * 60
        seconds -= offset_s if sign == "+" else -offset_s
    return seconds * NS_PER_S + (int(fraction.ljust(9, "0")) if fraction else 0)


# --- heard: bytes or text -> Measurement -----------------------------------------------------------------------------


def _refuse_constant(text: str) -> NoReturn:
    raise _RejectedError("value", f"{text} is not a finite number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})


def decode_measurement(
    payload: bytes | bytearray, *, topic_name: str, received_ns: int, retained: bool = False
) -> Measurement | Rejected:
    """Read one message of a broker.

    `topic_name`: the measurement name that the topic or routing key stands for; it counts, a payload with another name
    is rejected. `received_ns`: the time of a value that carries none. A `retained` message counts only when its payload
    carries a time. Unknown keys are ignored.
    """
    try:
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise _RejectedError("size", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            raise _RejectedError("encoding", "not UTF-8 text") from None
        fields = _parse_payload(text)
        if type(fields) is not dict:
            if retained:
                raise _RejectedError("retained", "a retained value without a time")
            return Measurement(topic_name, received_ns, _checked_value(fields), {})
        return _from_fields(fields, topic_name, "retained" if retained else received_ns, escapes="\\u" in text)
    except _RejectedError as error:
        return error.rejected


def parse_measurement_line(text: str, *, line: int = 0) -> Measurement:
    """Read one line of recorded measurements (NDJSON, either spelling; name and time must be there).

    Raises: InputError: with `line` and one reason.
    """
    try:
        if len(text) > MAX_PAYLOAD_BYTES:
            raise _RejectedError("size", f"{len(text)} characters, at most {MAX_PAYLOAD_BYTES}")
        try:
            fields = _DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            raise _RejectedError("json", f"not JSON: {error}") from None
        if type(fields) is not dict:
            raise _RejectedError("shape", "not a JSON object")
        return _from_fields(fields, None, "ts", escapes="\\u" in text)
    except _RejectedError as error:
        rejected = error.rejected
    raise InputError(
        f"measurement refused ({rejected.reason}): {rejected.detail}",
        hint='one object a line: {"name","ts","val","meta"} or {"name","timestamp","value","meta"}',
        line=line,
    )


def read_measurements(lines: Iterable[str]) -> Iterator[Measurement]:
    """Read recorded measurements in file order; empty lines are skipped. Raises InputError as the line reader does."""
    for number, text in enumerate(lines, 1):
        if text.strip():
            yield parse_measurement_line(text, line=number)


def measurement_from_object(fields: Mapping[str, Any], *, path: str = "") -> Measurement:
    """Make a measurement of an already parsed JSON object, in either spelling.

    Raises: InputError: with `path` and one reason.
    """
    try:
        return _from_fields(dict(fields), None, "ts", escapes=True)
    except _RejectedError as error:
        rejected = error.rejected
    raise InputError(f"measurement refused ({rejected.reason}): {rejected.detail}", path=path)


def _parse_payload(text: str) -> object:
    """Parse JSON; text that does not look like JSON is a string value of its own."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        bare = text.strip()
        if not bare:
            raise _RejectedError("shape", "empty payload") from None
        if bare[0] in '{["':
            raise _RejectedError("json", f"not JSON: {error}") from None
        if bare.lstrip("+-").lower() in _NOT_FINITE:
            raise _RejectedError("value", f"{bare} is not a finite number") from None
        return bare


def _from_fields(
    fields: dict[str, object], topic_name: str | None, untimed: int | Reason, *, escapes: bool
) -> Measurement:
    """Judge the fields of an object.

    `untimed`: the time of a value without one, or the reason to reject it. `escapes`: the text had \\u escapes, so it
    may hold half a surrogate pair.
    """
    name = fields.get("name", topic_name)
    if name != topic_name or topic_name is None:
        _refuse_name(name, topic_name)
    encoding = fields.get("enc")
    if encoding:
        raise _RejectedError("binary", f"a value with enc={encoding!r:.20} is of no use to rules")
    if "val" in fields:
        value = fields["val"]
    elif "value" in fields:
        value = fields["value"]
    else:
        raise _RejectedError("shape", "no val and no value")
    if type(value) is not float or not math.isfinite(value):
        _checked_value(value)
    meta = fields.get("meta")
    meta = {} if meta is None else _checked_meta(meta)
    if escapes:
        _check_text(cast("str", name), value, meta)
    return Measurement(cast("str", name), _time_of(fields, untimed), value, meta)


def _refuse_name(name: object, topic_name: str | None) -> None:
    """Raise unless a measurement from a file, which has no topic, has a good name."""
    if topic_name is not None:
        raise _RejectedError("name", f"payload says {name!r:.80}, topic says {topic_name}")
    if not isinstance(name, str) or not is_name(name):
        raise _RejectedError("name", f"no measurement name: {name!r:.80}")


def _time_of(fields: dict[str, object], untimed: int | Reason) -> int:
    ts = fields.get("ts")
    if ts is None:
        stamp = fields.get("timestamp")
        if stamp is None:
            if isinstance(untimed, str):
                raise _RejectedError(untimed, "no ts and no timestamp")
            return untimed
        if not isinstance(stamp, str):
            raise _RejectedError("ts", f"timestamp is not a text: {stamp!r:.40}")
        try:
            ts = parse_rfc3339(stamp)
        except ValueError as error:
            raise _RejectedError("ts", str(error)) from None
    if type(ts) is not int:
        raise _RejectedError("ts", f"ts is not an integer: {ts!r:.40}")
    if not 0 <= ts <= MAX_TS_NS:
        raise _RejectedError("ts", "ts is not in 0..2**63-1 ns")
    return ts


def _checked_value(value: object) -> float | str:
    """Return the value when rules can use it: a finite number, a boolean, a text of bounded length."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise _RejectedError("value", f"text of {len(value)} characters, at most {MAX_TEXT}")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _RejectedError("value", "not a finite number")
        return value
    if isinstance(value, int):
        if value.bit_length() > MAX_INT_BITS:
            raise _RejectedError("value", "integer beyond 2**1024")
        return value
    kind = {type(None): "null", dict: "an object", list: "an array"}.get(type(value), type(value).__name__)
    raise _RejectedError("value", f"{kind} is not a number or text")


def _checked_meta(meta: object) -> dict[str, str]:
    if type(meta) is not dict:
        raise _RejectedError("meta", "meta is not an object")
    if len(meta) > MAX_META:
        raise _RejectedError("meta", f"{len(meta)} meta keys, at most {MAX_META}")
    for key, text in meta.items():
        if type(text) is not str:
            raise _RejectedError("meta", f"meta {key!r:.80} is not a text")
        if len(text) > MAX_META_TEXT or len(key) > MAX_META_TEXT:
            raise _RejectedError("meta", f"meta {key!r:.80} is longer than {MAX_META_TEXT} characters")
    return cast("dict[str, str]", meta)


def _check_text(name: str, value: object, meta: Mapping[str, str]) -> None:
    """Refuse half a surrogate pair: no log, database or answer could carry it."""
    try:
        for text in (name, value if isinstance(value, str) else "", *meta, *meta.values()):
            text.encode()
    except UnicodeEncodeError:
        raise _RejectedError("encoding", "half a surrogate pair in the text") from None


# --- said: Message -> bytes ------------------------------------------------------------------------------------------

_HTML_UNSAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def event_value(fields: object) -> str:
    """Write the value of a scheduler event: compact JSON text, keys sorted, unsafe HTML characters escaped.

    Raises: InputError: the fields hold something that JSON cannot say.
    """
    return _json(fields, sort_keys=True, ensure_ascii=False).translate(_HTML_UNSAFE)


def encode_message(message: Message, *, with_id: bool = False) -> bytes:
    """Write a message in wire form, ASCII only.

    `with_id` adds the key `id` (readers ignore unknown keys) for transports that have no property for it: meta stays
    untouched, because each of its keys becomes a tag of a stored series.

    Raises: InputError: the value cannot be written as JSON.
    """
    value = message.value
    wire: dict[str, object] = {"name": message.name, "ts": message.ts_ns, "meta": dict(message.meta)}
    if message.as_text:
        wire["val"] = event_value(value)
    elif isinstance(value, bytes | bytearray):
        wire["val"] = base64.b64encode(value).decode()
        wire["enc"] = "b64"
    else:
        wire["val"] = value
    if with_id and message.message_id:
        wire["id"] = message.message_id
    return _json(wire).encode()


def encode_measurement(measurement: Measurement) -> bytes:
    """Write a measurement in wire form, as a line of recorded measurements has it. Raises as `encode_message`."""
    return encode_message(Message(measurement.name, measurement.ts_ns, measurement.value, measurement.meta))


def _json(value: object, *, sort_keys: bool = False, ensure_ascii: bool = True) -> str:
    try:
        plain = dict(value) if isinstance(value, Mapping) else value
        return json.dumps(plain, separators=(",", ":"), sort_keys=sort_keys, ensure_ascii=ensure_ascii, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"message cannot be written as JSON: {error}") from error
