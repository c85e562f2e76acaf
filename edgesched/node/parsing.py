"""From text to a setting's value.

Flags, environment and file all speak text, so one set of parsers serves the three. A parser returns the value or
raises ValueError with what is expected; who asked adds the place. Booleans are those of Go's `flag` package, because
unit files and manifests of the reference say `-in-cluster=true`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edgesched.core.model import Site

ANY_HOST: Final = "0.0.0.0"  # noqa: S104 - what `:8080` means; the default is loopback

_TRUE: Final = frozenset({"1", "t", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "f", "false", "no", "off"})
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NODE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def boolean(text: str) -> bool:
    """Parse a boolean as Go does, and YAML's yes, no, on, off."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("expected true or false")


def text(value: str) -> str:
    """Take any text without control characters."""
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in value):
        raise ValueError("control characters are not allowed")
    return value


def whole(least: int, most: int) -> _Whole:
    """Return a parser of integers from `least` to `most`."""
    return _Whole(least, most)


class _Whole:
    """Parser of bounded integers."""

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def __call__(self, value: str) -> int:
        try:
            number = int(value.strip().replace("_", ""))
        except ValueError:
            number = self._least - 1
        if not self._least <= number <= self._most:
            raise ValueError(f"expected a whole number from {self._least} to {self._most}")
        return number


def duration_s(value: str) -> float:
    """Parse a duration such as `90s`, `1h30m` or `250ms`; a bare number is seconds."""
    word = value.strip()
    if re.fullmatch(r"\d+(\.\d+)?", word):
        return float(word)
    parts = _DURATION_PART.findall(word)
    if not parts or "".join(number + unit for number, unit in parts) != word:
        raise ValueError("expected a duration such as 90s, 10m or 1h30m")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


class Choice:
    """Parser of one word out of several; `words` in the order in which messages list them."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, value: str) -> str:
        """Return the word, in lower case."""
        word = value.strip().lower()
        if word not in self.words:
            raise ValueError(f"expected {', '.join(self.words[:-1])} or {self.words[-1]}")
        return word


def node_name(value: str) -> str:
    """Take a VSN such as `W023` or a node name; it becomes a label of every pod."""
    if not _NODE_NAME.fullmatch(value):
        raise ValueError("expected letters, digits, '-', '_' or '.', at most 63, such as W023")
    return value


def path(value: str) -> Path:
    """Take a path; `~` is the home folder."""
    if not value.strip():
        raise ValueError("expected a path")
    return Path(value).expanduser()


def site(value: str) -> Site:
    """Parse `LAT,LON` in degrees, north and east positive."""
    try:
        latitude, longitude = (float(part) for part in value.split(","))
    except ValueError:
        raise ValueError("expected LAT,LON in degrees, such as 41.71,-87.98") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise ValueError("expected a latitude from -90 to 90 and a longitude from -180 to 180")
    return Site(latitude, longitude)


def pair(value: str) -> tuple[str, str]:
    """Parse `KEY=VALUE`."""
    key, equals, rest = value.partition("=")
    if not equals or not key.strip():
        raise ValueError("expected KEY=VALUE")
    return key.strip(), rest.strip()


def http_url(value: str) -> str:
    """Take the address of an HTTP server."""
    parts = _split(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("expected an address such as http://127.0.0.1:8001")
    if parts.password is not None:
        raise ValueError("expected an address without a password")
    return value.rstrip("/")


def mqtt_uri(value: str) -> str:
    """Take the address of an MQTT broker: `mqtt://[USER@]HOST[:PORT]` or `mqtts://...`, never with a password."""
    parts = _split(value)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.path.strip("/"):
        raise ValueError("expected mqtt://USER@HOST:PORT or mqtts://USER@HOST:PORT")
    if parts.password is not None:
        raise ValueError("a password does not belong here: name a file with --mqtt-password-file")
    return value


def listen_address(value: str) -> str:
    """Take `HOST:PORT`, `:PORT` (all interfaces) or `off`."""
    word = value.strip()
    if word == "off":
        return word
    host, colon, port = word.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise ValueError("expected HOST:PORT, such as 127.0.0.1:8080, or off")
    return f"{host or ANY_HOST}:{port}"


def _split(value: str) -> _Parts:
    try:
        parts = urlsplit(value.strip())
        return _Parts(parts.scheme, parts.hostname, parts.port, parts.password, parts.path)
    except ValueError:
        return _Parts("", None, None, None, "")


class _Parts:
    """The parts of an address that matter here; an address that cannot be split has none."""

    __slots__ = ("hostname", "password", "path", "port", "scheme")

    def __init__(self, scheme: str, hostname: str | None, port: int | None, password: str | None, path: str) -> None:
        self.scheme = scheme
        self.hostname = hostname
        self.port = port
        self.password = password
        self.path = path
