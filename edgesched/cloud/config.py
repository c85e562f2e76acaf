"""The configuration of a cloud scheduler: flags over environment over file over defaults, read once.

Every option has a flag (`--data-dir`, one dash works too), a variable (`EDGESCHED_CLOUD_DATA_DIR`) and a key in the
YAML file (`dataDir`, also `data_dir` and `data-dir`). The reference's names stand beside ours. Secrets and the database
address have no flag: arguments of a process can be read by everybody on the host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import yaml

from edgesched.core.suggest import did_you_mean
from edgesched.errors import ConfigError

DATABASE_VARIABLE: Final = "EDGESCHED_DATABASE_URL"
LARGEST_FILE: Final = 256 * 1024


class CloudConfigError(ConfigError):
    """The configuration is wrong in one or more places.

    `problems`: one line each. `usage`: the command line is wrong, so the command ends with exit code 2.
    """

    def __init__(self, problems: Iterable[str], *, usage: bool) -> None:
        self.problems = tuple(problems)
        self.usage = usage
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """The effective configuration; `OPTIONS` says what each value means."""

    host: str = "127.0.0.1"
    port: int = 9770
    data_dir: Path = Path("data")
    name: str = "cloudscheduler-sage"
    plugins: str = ""
    nodes: str = ""
    registry: str = "registry.sagecontinuum.org"
    whitelist: Path | None = None
    open_goals: bool = False
    auth_server_url: str = ""
    auth_token: str = ""
    auth_token_file: Path | None = None
    forwarded: bool = False
    keepalive_s: int = 30
    refresh_s: int = 300
    keep_days: int = 30
    uplink: str = ""
    uplink_vsn: str = ""
    uplink_password: str = ""
    uplink_password_file: Path | None = None
    debug: bool = False
    database_url: str = ""

    @property
    def goals_are_open(self) -> bool:
        """Whether goals are served without a token: asked for, or nobody else can reach us."""
        return self.open_goals or is_loopback(self.host)

    @property
    def whitelist_file(self) -> Path:
        """Where the expressions of the plugin whitelist stand, one a line."""
        return self.whitelist or self.data_dir / "plugins.whitelist"


def is_loopback(host: str) -> bool:
    """Say whether an address to listen on is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value.lower() not in words:
        raise ValueError("write true or false")
    return words[value.lower()]


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError(f"write a number from {low} to {high}")
        return number

    return parse


def _address(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("write an address that begins with http:// or https://")
    return value


def _broker(value: str) -> str:
    if value and not value.startswith(("mqtt://", "mqtts://")):
        raise ValueError("write mqtt://HOST:PORT or mqtts://HOST:PORT")
    return value


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    `field`: its name in `CloudConfig`; `aliases`: the reference's flags; `flag`: it has a flag at all.
    """

    field: str
    parse: Callable[[str], Any]
    about: str
    aliases: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    flag: bool = True
    switch: bool = False

    @property
    def dashed(self) -> str:
        """The name as a flag, without dashes before it."""
        return self.field.replace("_", "-")


OPTIONS: Final = (
    Option("host", _text, "address to listen on"),
    Option("port", _whole(0, 65535), "port to listen on, 0 for a free one"),
    Option("data_dir", Path, "folder of the database and the caches"),
    Option("name", _text, "name that a ping shows"),
    Option("plugins", _text, "plugin catalogue: file or address; any image without", ("ecr-url",), keys=("ecrURL",)),
    Option(
        "nodes", _text, "node manifests: file or address; any node without", ("node-manifest-url",),
        keys=("nodeManifestURL",),
    ),
    Option("registry", _text, "host of the images that the plugin catalogue speaks of"),
    Option("whitelist", Path, "file of expressions for images that need no entry (DATA_DIR/plugins.whitelist)"),
    Option("open_goals", _flag, "serve goals to nodes without a token, as the reference does", switch=True),
    Option("auth_server_url", _address, "auth server in the reference's format", variables=("AUTH_URL",)),
    Option("auth_token", _text, "our token at the auth server", variables=("AUTH_TOKEN",), flag=False),
    Option("auth_token_file", Path, "file with our token at the auth server"),
    Option("forwarded", _flag, "a proxy stands before us: believe its X-Forwarded-For", switch=True),
    Option("keepalive_s", _whole(1, 3600), "seconds between two repeats of an unchanged goal list"),
    Option("refresh_s", _whole(10, 86_400), "seconds between two loads of the catalogue"),
    Option("keep_days", _whole(1, 36_500), "days that messages of nodes are kept"),
    Option("uplink", _broker, "broker whose messages are stored too: mqtt://USER@HOST:PORT"),
    Option("uplink_vsn", _text, "node whose broker that is"),
    Option("uplink_password", _text, "password for that broker", flag=False),
    Option("uplink_password_file", Path, "file with the password for that broker"),
    Option("debug", _flag, "log more", switch=True),
    Option("database_url", _text, "database other than SQLite", variables=(DATABASE_VARIABLE,), flag=False),
)  # fmt: skip


def load_config(flags: Mapping[str, str], environ: Mapping[str, str], file: Path | None = None) -> CloudConfig:
    """Make the configuration of flags (by field name), environment and file. Raises ConfigError, one line a problem."""
    problems: list[str] = []
    given = _from_file(file, problems) if file is not None else {}
    given |= _from_environment(environ)
    given |= {name: (f"--{name.replace('_', '-')}", text) for name, text in flags.items()}
    values: dict[str, Any] = {}
    for option in OPTIONS:
        if option.field in given:
            place, text = given[option.field]
            try:
                values[option.field] = option.parse(text)
            except ValueError as error:
                reason = "write a whole number" if "invalid literal" in str(error) else str(error)
                problems.append(f"{place}: {text[:80]!r} does not fit: {reason}")
    for secret in ("auth_token", "uplink_password"):
        path = values.get(f"{secret}_file")
        if path is not None:
            values[secret] = _secret(path, problems)
    if values.get("uplink") and not values.get("uplink_vsn"):
        problems.append("uplink needs uplink-vsn, the node whose broker it is")
    if problems:
        raise CloudConfigError(problems, usage=any(problem.startswith("--") for problem in problems))
    return CloudConfig(**values)


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    given = {}
    for option in OPTIONS:
        for variable in (f"EDGESCHED_CLOUD_{option.field.upper()}", *option.variables):
            if environ.get(variable):
                given[option.field] = (variable, environ[variable])
                break
    return given


def _from_file(file: Path, problems: list[str]) -> dict[str, tuple[str, str]]:
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise ValueError("the file is too large")
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        problems.append(f"cannot read {file}: {str(error)[:200]}")
        return {}
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        problems.append(f"{file}: expected keys and values, such as port: 9770")
        return {}
    known = {_plain(name): option for option in OPTIONS for name in (option.field, *option.keys, *option.aliases)}
    given = {}
    for key, value in root.value:
        place = f"{file}:{key.start_mark.line + 1}"
        option = known.get(_plain(str(key.value)))
        if option is None:
            hint = did_you_mean(str(key.value), [option.field for option in OPTIONS])
            problems.append(f"{place}: unknown key {str(key.value)[:60]!r}{f' ({hint})' if hint else ''}")
        elif not isinstance(value, yaml.ScalarNode):
            problems.append(f"{place}: {option.field} takes one value")
        elif value.value:
            given[option.field] = (place, value.value)
    return given


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _secret(path: Path, problems: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        problems.append(f"cannot read {path}: {str(error)[:120]}")
        return ""


def shown_config(config: CloudConfig) -> dict[str, str]:
    """Return the configuration for a log line, secrets hidden."""
    hidden = {"auth_token", "uplink_password", "database_url"}
    values = {field.name: str(getattr(config, field.name)) for field in fields(config)}
    return {name: "***" if name in hidden and value else value for name, value in values.items()}
