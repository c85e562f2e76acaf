"""Where RabbitMQ is and who we are to it. Read once; the password file is read at every connect."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgesched.errors import ConfigError


@dataclass(frozen=True, slots=True)
class AmqpSettings:
    """One RabbitMQ.

    `app_id`: uid of our own pod (`WAGGLE_APP_ID`), empty outside a cluster. `events`: the exchange that takes our
    messages; `measurements`: the exchange that we listen to. `heartbeat_s`: a silent broker is noticed after at most
    twice this time and 10 s more (pika looks every heartbeat + 5 s). `timeout_s` bounds each step of a connect and the
    wait for a confirmation. Raises ConfigError when made with values that cannot work or without pika.
    """

    host: str = "127.0.0.1"
    port: int = 5672
    vhost: str = "/"
    vsn: str = ""
    username: str = "service"
    password: str = field(default="service", repr=False)
    password_file: str = ""
    app_id: str = ""
    tls: bool = False
    ca_file: str = ""
    events: str = "to-validator"
    measurements: str = "data.topic"
    heartbeat_s: int = 10
    timeout_s: float = 3.0

    def __post_init__(self) -> None:
        if importlib.util.find_spec("pika") is None:
            raise ConfigError("rabbitmq: the AMQP client pika is missing", hint="pip install 'edgesched[amqp]'")
        if not self.host:
            raise ConfigError("rabbitmq: no host", hint="such as wes-rabbitmq:5672")
        if not 0 < self.port < 65536:
            raise ConfigError(f"rabbitmq: port {self.port} is not in 1..65535")
        if not self.username:
            raise ConfigError("rabbitmq: no user name", hint="a Waggle node has the user service")
        if self.ca_file and not self.tls:
            raise ConfigError("rabbitmq: a CA file without TLS", hint="use amqps://")

    @classmethod
    def from_url(cls, url: str, **more: object) -> AmqpSettings:
        """Read `amqp://[user[:password]@]host[:port][/vhost]`, `amqps://` for TLS, or the reference's `host:port`.

        `more`: other fields by name; they win. Raises: ConfigError.
        """
        parts = urlsplit(url if "://" in url else f"amqp://{url}")
        if parts.scheme not in ("amqp", "amqps"):
            raise ConfigError(f"rabbitmq: scheme {parts.scheme!r} is not known", hint="amqp://host:5672 or host:5672")
        if set(url) & set("?#"):
            raise ConfigError("rabbitmq: the address has a ? or #", hint="write it as %3F or %23 in a user or password")
        tls = parts.scheme == "amqps"
        try:
            port = parts.port
        except ValueError:
            raise ConfigError(f"rabbitmq: no port number in {parts.netloc.rpartition('@')[2]!r}") from None
        found: dict[str, object] = {"host": parts.hostname or "", "port": port or (5671 if tls else 5672), "tls": tls}
        if parts.username:
            found["username"] = unquote(parts.username)
        if parts.password:
            found["password"] = unquote(parts.password)
        if parts.path not in ("", "/"):
            found["vhost"] = unquote(parts.path[1:])
        return cls(**(found | more))  # type: ignore[arg-type]

    @property
    def broker(self) -> str:
        """`host:port`, for log lines."""
        return f"{self.host}:{self.port}"

    def connection_name(self, role: str) -> str:
        """The name of one role's connection in RabbitMQ's lists and log."""
        return f"edgesched-{self.vsn}-{role}" if self.vsn else f"edgesched-{role}"

    def read_password(self) -> str:
        """The password of now. Raises: OSError: the file cannot be read."""
        if self.password_file:
            return Path(self.password_file).read_text(encoding="utf-8").strip()
        return self.password
