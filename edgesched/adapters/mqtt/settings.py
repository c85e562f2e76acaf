"""Where the MQTT broker is and who we are to it. Read once; the password file is read at every connect.

A client id is stable per node and role (`edgesched-W023-source`), so that a broker's log and access list can name it,
and so that a half-open connection of a crashed agent is taken over instead of lingering.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from edgesched.errors import ConfigError

MqttVersion = Literal["3.1.1", "5"]


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """One broker.

    `prefix`: topics stand behind it, such as `waggle/W023` (a closing slash is optional). `ca_file`: PEM file of the
    authority that signed the broker's certificate; with `tls` and no file, the system's authorities count.
    `keepalive_s`: a silent broker is noticed after at most twice this time. `timeout_s` bounds each step of a connect
    and the wait for a confirmation. `qos` is that of the subscriptions.
    Raises ConfigError when made with values that cannot work.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    vsn: str = ""
    version: MqttVersion = "3.1.1"
    username: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    prefix: str = ""
    qos: int = 1
    keepalive_s: int = 10
    timeout_s: float = 3.0

    def __post_init__(self) -> None:
        if not self.host:
            raise ConfigError("mqtt: no broker host", hint="such as mqtt://127.0.0.1:1883")
        if not 0 < self.port < 65536:
            raise ConfigError(f"mqtt: port {self.port} is not in 1..65535")
        if self.version not in ("3.1.1", "5"):
            raise ConfigError(f"mqtt: version {self.version!r} is not known", hint="3.1.1 or 5")
        if self.qos not in (0, 1):
            raise ConfigError(f"mqtt: qos {self.qos} is not 0 or 1")
        if set(self.prefix) & set("+#\0") or self.prefix.startswith("$"):
            raise ConfigError(
                f"mqtt: topic prefix {self.prefix!r} has a wildcard", hint="a fixed prefix such as waggle/"
            )
        if self.ca_file and not self.tls:
            raise ConfigError("mqtt: a CA file without TLS", hint="use mqtts:// or set tls")

    @classmethod
    def from_url(cls, url: str, **more: object) -> MqttSettings:
        """Read `mqtt://[user@]host[:port][/prefix]`, or `mqtts://` for TLS; a bare `host:port` is mqtt.

        `more`: other fields by name; they win. Raises: ConfigError.
        """
        parts = urlsplit(url if "://" in url else f"mqtt://{url}")
        if parts.scheme not in ("mqtt", "mqtts"):
            raise ConfigError(
                f"mqtt: scheme {parts.scheme!r} is not known", hint="mqtt://host:1883 or mqtts://host:8883"
            )
        if set(url) & set("?#"):
            raise ConfigError("mqtt: the address has a ? or #", hint="write it as %3F or %23 in a user or password")
        tls = parts.scheme == "mqtts"
        try:
            port = parts.port
        except ValueError:
            raise ConfigError(f"mqtt: no port number in {parts.netloc.rpartition('@')[2]!r}") from None
        found: dict[str, object] = {
            "host": parts.hostname or "",
            "port": port or (8883 if tls else 1883),
            "tls": tls,
            "username": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "prefix": unquote(parts.path.strip("/")),
        }
        return cls(**(found | more))  # type: ignore[arg-type]

    @property
    def broker(self) -> str:
        """`host:port`, for log lines."""
        return f"{self.host}:{self.port}"

    @property
    def topic_prefix(self) -> str:
        """The prefix with its closing slash, or nothing."""
        return f"{self.prefix.rstrip('/')}/" if self.prefix else ""

    def client_id(self, role: str) -> str:
        """The stable client id of one role; without a VSN the broker hands out one."""
        return f"edgesched-{self.vsn}-{role}" if self.vsn else ""

    def read_password(self) -> str:
        """The password of now. Raises: OSError: the file cannot be read."""
        if self.password_file:
            return Path(self.password_file).read_text(encoding="utf-8").strip()
        return self.password
