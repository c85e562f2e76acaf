"""The configuration of a node agent: read once, frozen, and every value knows where it came from.

Flags win over environment, environment over file, file over defaults. All problems are found and reported at once, one
line each. A wrong flag is wrong usage (exit 2); anything else wrong is a refusal (exit 1). A secret comes from a file
or from the environment and is shown as `***`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgesched.core.model import Site
from edgesched.core.pods import AdmissionSettings, PodSettings
from edgesched.core.shown import hide_passwords, shown
from edgesched.core.suggest import nearest
from edgesched.errors import ConfigError
from edgesched.node.configfile import read_config_file
from edgesched.node.flags import Flags, parse_flags
from edgesched.node.settings import SECTIONS, SETTINGS, Setting

LARGEST_SECRET: Final = 4096
SHORTEST_HIDDEN: Final = 6
PREFIX: Final = "EDGESCHED_"
_SERVICE_VARIABLE = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_.*)?)$")
HIDDEN: Final = "***"
OTHER_VARIABLES: Final = frozenset({"EDGESCHED_CONFIG", "EDGESCHED_SHARED", "EDGESCHED_DATABASE_URL"})
"""Names that begin like settings and are read elsewhere."""


class ConfigProblemsError(ConfigError):
    """The configuration is wrong in one or more places.

    `problems`: one line each. `usage`: the command line itself is wrong, so the command ends with exit code 2.
    """

    def __init__(self, problems: Iterable[str], *, usage: bool = False) -> None:
        self.problems = tuple(problems)
        self.usage = usage
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class Config:
    """The effective configuration; `settings.SETTINGS` says what each value means.

    `origins`: setting name -> where its value came from, such as `flag --nodename` or `file agent.yaml:3`.
    `notes`: what the operator should know, one line each, although nothing is wrong.
    """

    vsn: str
    app_id: str
    jobs: tuple[Path, ...]
    policy: str
    site: Site | None
    kubeconfig: Path
    in_cluster: bool
    kube_server: str
    wes: bool
    lease: bool
    kube_workers: int
    simulate: bool
    goalstream_url: str
    goalstream_ca: Path | None
    goalstream_token: str
    goalstream_token_file: Path | None
    mqtt_uri: str
    mqtt_password: str
    mqtt_password_file: Path | None
    mqtt_ca: Path | None
    mqtt_version: str
    mqtt_topic_prefix: str
    events: str
    rabbitmq_uri: str
    rabbitmq_username: str
    rabbitmq_password: str
    rabbitmq_password_file: Path | None
    rabbitmq_ca: Path | None
    no_rabbitmq: bool
    rulechecker_uri: str
    scoreboard_uri: str
    state_dir: Path | None
    snapshot_every: float
    http_listen: str
    http_token: str
    http_token_file: Path | None
    log_format: str
    debug: bool
    measurement_limit: int
    grace: float
    keep_finished: float
    keep_finished_pods: int
    image_wait: float
    unschedulable_wait: float
    breaker_after: int
    pods: PodSettings
    admission: AdmissionSettings
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def cluster(self) -> str:
        """How the cluster is reached: `in-cluster`, `server` or `kubeconfig`."""
        if self.in_cluster:
            return "in-cluster"
        return "server" if self.kube_server else "kubeconfig"

    @property
    def rabbitmq_named(self) -> bool:
        """Whether RabbitMQ is to be used."""
        return bool(self.rabbitmq_uri) and not self.no_rabbitmq

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret values that were set, so that the log can hide them wherever they occur.

        A short or well-known one (`service`) is not among them: hiding a common word would only spoil the log.
        """
        return tuple(
            str(value)
            for setting in SETTINGS
            if setting.secret
            and (value := value_of(self, setting.name)) != setting.default
            and len(str(value)) >= SHORTEST_HIDDEN
        )


def load_config(arguments: Iterable[str] = (), environment: Mapping[str, str] | None = None) -> Config:
    """Build the configuration from flags, environment and the file that they name.

    Raises ConfigProblemsError with every problem found.
    """
    environment = environment or {}
    flags = parse_flags(arguments, SETTINGS)
    if flags.problems:
        raise ConfigProblemsError(flags.problems, usage=True)
    problems: list[str] = []
    loader = _Loader()
    loader.take_file(flags.config_file or environment.get("EDGESCHED_CONFIG"))
    loader.take_environment(environment)
    problems += loader.problems
    loader.problems = []
    loader.take_flags(flags)
    if loader.problems and not problems:
        raise ConfigProblemsError(loader.problems, usage=True)
    problems += loader.problems
    loader.problems = []
    loader.take_secret_files()
    loader.settle_cluster()
    problems += loader.problems
    if problems:
        raise ConfigProblemsError(problems)
    return loader.config()


def show_config(config: Config) -> list[tuple[str, Any, str]]:
    """Return (name, value, origin) of every setting in the order of the table; secrets are hidden, units kept."""
    shown_settings = []
    for setting in SETTINGS:
        value = value_of(config, setting.name)
        if setting.secret and value:
            value = HIDDEN
        shown_settings.append((setting.name, _simple(value), config.origins.get(setting.name, "default")))
    return shown_settings


def value_of(config: Config, name: str) -> Any:
    """Return the value of a setting by its name, `SECTION.FIELD` included."""
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


class _Loader:
    """Collects values in rising order of precedence; later ones replace earlier ones."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.notes: list[str] = []
        self._values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
        self._values["kubeconfig"] = self._values["kubeconfig"].expanduser()
        self._origins: dict[str, str] = {}
        self._ranks: dict[str, int] = {}

    def take_file(self, name: str | None) -> None:
        """Read the configuration file."""
        if not name:
            return
        path = Path(name).expanduser()
        found = read_config_file(path, SETTINGS)
        self.problems += found.problems
        for setting in SETTINGS:
            if setting.name in found.given:
                place, texts = found.given[setting.name]
                self._take(setting, texts, f"file {place}", place, rank=1)

    def take_environment(self, environment: Mapping[str, str]) -> None:
        """Read the environment; an empty variable counts as unset."""
        for setting in SETTINGS:
            for name in reversed(setting.env_names):
                value = environment.get(name, "")
                if value:
                    texts = [part for part in value.split(",") if part] if setting.many else [value]
                    self._take(setting, texts, f"environment {name}", name, rank=2)
        known = {setting.env_names[0] for setting in SETTINGS} | OTHER_VARIABLES
        words = [name.removeprefix(PREFIX) for name in known]
        for name in sorted(set(environment) - known):
            if name.startswith(PREFIX) and not _SERVICE_VARIABLE.search(name):
                near = nearest(name.removeprefix(PREFIX), words)
                if near is not None:
                    self.notes.append(f"{name} is not a setting; did you mean {PREFIX}{near}?")

    def take_flags(self, flags: Flags) -> None:
        """Read the flags; the last one wins where one value is wanted."""
        for setting in SETTINGS:
            given = flags.given.get(setting.name)
            if given:
                texts = [value for _, value in given] if setting.many else [given[-1][1]]
                self._take(setting, texts, f"flag {given[-1][0]}", given[-1][0], rank=3)
                if setting.secret:
                    self.notes.append(
                        f"{given[-1][0]} puts a secret where every user of this host can read it; "
                        f"use {setting.env_names[-1]} or --{setting.name.replace('_', '-')}-file"
                    )

    def take_secret_files(self) -> None:
        """Read the files that hold secrets; a file wins over a value of the same or a lower rank."""
        for setting in SETTINGS:
            path = self._values[setting.name]
            if not setting.secret_of or path is None:
                continue
            if self._ranks.get(setting.secret_of, 0) > self._ranks[setting.name]:
                continue
            try:
                with path.open("rb") as file:
                    text = file.read(LARGEST_SECRET + 1).decode("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not text"
                self.problems.append(f"{self._origins[setting.name]}: cannot read {path}: {reason}")
                continue
            if not text or len(text) > LARGEST_SECRET:
                size = "is empty" if not text else f"is larger than {LARGEST_SECRET} bytes"
                self.problems.append(f"{self._origins[setting.name]}: {path} {size}")
                continue
            self._values[setting.secret_of] = text
            self._origins[setting.secret_of] = f"file {path}"

    def settle_cluster(self) -> None:
        """Let the way to the cluster that was named with the highest precedence win; two at once contradict."""
        named = {name: self._ranks.get(name, 0) for name in ("kubeconfig", "in_cluster", "kube_server")}
        if not self._values["in_cluster"]:
            named["in_cluster"] = 0
        highest = max(named.values())
        if highest == 0:
            return
        winners = [name for name, rank in named.items() if rank == highest]
        if winners == ["kubeconfig", "in_cluster"]:
            winners = ["in_cluster"]  # as in the reference, whose files may hold both
        if len(winners) > 1:
            places = " and ".join(self._origins[name] for name in winners)
            self.problems.append(f"{places}: name one way to the cluster, not {len(winners)}")
        if "in_cluster" not in winners:
            self._values["in_cluster"] = False
        if "kube_server" not in winners:
            self._values["kube_server"] = ""

    def config(self) -> Config:
        """Return the frozen result."""
        values = {name: value for name, value in self._values.items() if "." not in name}
        for section, shape in SECTIONS.items():
            inner = {
                name.partition(".")[2]: value for name, value in self._values.items() if name.startswith(f"{section}.")
            }
            if section == "pods":
                inner["vsn"] = values["vsn"]
            values[section] = shape(**inner)
        if values["rulechecker_uri"]:
            self.notes.append(f"{self._origins['rulechecker_uri']} is ignored: rules are evaluated by the agent itself")
        return Config(**values, origins=self._origins, notes=tuple(self.notes))

    def _take(self, setting: Setting, texts: list[str], origin: str, place: str, *, rank: int) -> None:
        parsed = []
        for text in texts:
            try:
                parsed.append(setting.parse(text))
            except ValueError as error:
                told = "" if setting.secret else f", not '{shown(hide_passwords(text), 80)}'"
                self.problems.append(f"{place}: {error}{told}")
                return
        self._values[setting.name] = setting.gather(parsed) if setting.many else parsed[-1]
        self._origins[setting.name] = origin
        self._ranks[setting.name] = rank


def _simple(value: Any) -> Any:
    """Make a value fit for JSON and for a line of text."""
    if isinstance(value, Site):
        return f"{value.latitude},{value.longitude}"
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list | frozenset):
        items = sorted(value, key=str) if isinstance(value, frozenset) else value
        return [_simple(item) for item in items]
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return ":".join(str(part) for part in dataclasses.astuple(value))
    return value
