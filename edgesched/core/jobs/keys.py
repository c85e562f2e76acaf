"""The attributes of a job and the spellings of their keys.

A key counts in camelCase (job files), snake_case (the cloud scheduler's answers) and lower case (the tutorial).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edgesched.core.suggest import did_you_mean, nearest


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one map of a job. `own`: attributes; `server`: written by the cloud scheduler, ignored."""

    own: tuple[str, ...]
    server: tuple[str, ...]
    spellings: dict[str, str]

    def canonical(self, key: str) -> str | None:
        """Return the camelCase key that `key` spells, None when it is unknown."""
        return self.spellings.get(key)


def _key_set(own: tuple[str, ...], server: tuple[str, ...] = ()) -> KeySet:
    spellings: dict[str, str] = {}
    for name in own + server:
        snake = re.sub("([a-z])([A-Z]+)", r"\1_\2", name).lower()
        for spelling in (name, snake, name.lower()):
            spellings[spelling] = name
    return KeySet(own, server, spellings)


JOB: Final = _key_set(
    ("name", "plugins", "nodes", "nodeTags", "scienceRules", "successCriteria", "email", "notificationOn"),
    ("jobID", "user", "scienceGoal", "state"),
)
PLUGIN: Final = _key_set(("name", "pluginSpec"), ("goalID", "jobID"))
SPEC: Final = _key_set(
    ("image", "args", "privileged", "node", "job", "selector", "entrypoint", "env", "develop", "resource", "volume")
)

_PLACES: Final = (
    (SPEC, "belongs under a plugin's pluginSpec"),
    (PLUGIN, "belongs to a plugin, under plugins"),
    (JOB, "belongs to the job, at the left margin"),
)
_VSN = re.compile("[A-Z][0-9A-F]{3}")
_OLD_KEYS: Final = {
    "plugintags": "it is of an old format; list the plugins with their images under plugins",
    "secrets": 'name a Kubernetes Secret in the plugin\'s env, as in `TOKEN: "{secret.NAME.KEY}"`',
    "schedule": "write a science rule, as in `schedule(PLUGIN): cronjob('PLUGIN', '*/10 * * * *')`",
    "plugin_name": "write name: NAME",
    "version": "write it behind the image's name, as in `image: NAME:VERSION`",
}


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """What to say of an unknown key. `meant`: the field that it was probably meant for, empty when nobody knows."""

    message: str
    hint: str
    meant: str = ""


def explain_unknown(key: str, known: KeySet, siblings: Iterable[str]) -> UnknownKey:
    """Explain a key that is not in `known`; `siblings` are the keys of the same map."""
    shown = key if len(key) <= 60 else key[:57] + "..."
    message = f"unknown key {shown!r}"
    if key.lower() in _OLD_KEYS:
        return UnknownKey(message, _OLD_KEYS[key.lower()], "name" if key == "plugin_name" else "")
    if known is JOB and _VSN.fullmatch(key):
        return UnknownKey(message, f"if {key} is a node, indent it by 2 blanks under nodes", "nodes")
    present = {known.canonical(sibling) for sibling in siblings}
    meant = nearest(key, known.own)
    if meant is not None and meant not in present:
        return UnknownKey(message, did_you_mean(key, known.own), meant)
    for other, place in _PLACES:
        if other is not known and key in other.spellings:
            wanted = "pluginSpec" if known is PLUGIN and other is SPEC else ""
            return UnknownKey(message, f"{other.spellings[key]} {place}", wanted)
    return UnknownKey(message, f"known keys: {', '.join(known.own)}")
