"""Resources of a plugin: the keys of `pluginSpec.resource` into requests and limits.

A typo must not become a limit that the API server refuses with a message about something else, so a key that is neither
one of the five Waggle words nor the name of a resource is an error that names the words.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from edgesched.core.pods.names import is_label_key
from edgesched.core.pods.quantity import parse_quantity
from edgesched.core.pods.settings import PodSettings
from edgesched.core.suggest import did_you_mean
from edgesched.errors import PluginError

GPU: Final = "nvidia.com/gpu"
WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "limit.cpu": ("limits", "cpu"),
    "limit.memory": ("limits", "memory"),
    "limit.gpu": ("limits", GPU),
    "request.cpu": ("requests", "cpu"),
    "request.memory": ("requests", "memory"),
}
_NATIVE: Final = frozenset({"cpu", "memory", "ephemeral-storage"})


def resource_of(key: str) -> tuple[str, str]:
    """Return where a key of `pluginSpec.resource` goes: `requests` or `limits`, and the name of the resource.

    Raises: PluginError for a key that is neither a Waggle word nor the name of a resource.
    """
    if key in WORDS:
        return WORDS[key]
    if key in _NATIVE or ("/" in key and is_label_key(key)):
        return "limits", key
    raise PluginError(
        f"{key[:80]!r} is no resource",
        hint=did_you_mean(key, WORDS) or f"known are {', '.join(WORDS)} and names such as {GPU}",
        path=f"pluginSpec.resource[{key[:80]}]",
    )


def resources_of(resource: Mapping[str, str], settings: PodSettings) -> dict[str, Any]:
    """Make the container's `resources`; the settings' defaults fill what the plugin leaves open.

    Raises: PluginError for an unknown key, an amount that is no quantity, and a request above its limit.
    """
    asked: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for key, text in resource.items():
        group, name = resource_of(key)
        _amount(key, text)
        asked[group][name] = text
    requests, limits = dict(asked["requests"]), dict(asked["limits"])
    for name, text in settings.limits.items():
        # a default must not contradict the request: it would refuse a plugin that the field runs
        if name not in limits and (name not in requests or parse_quantity(requests[name]) <= parse_quantity(text)):
            limits[name] = text
    for name, text in settings.requests.items():
        if name not in requests and (name not in limits or parse_quantity(text) <= parse_quantity(limits[name])):
            requests[name] = text
    for name, text in requests.items():
        if name in limits and parse_quantity(text) > parse_quantity(limits[name]):
            raise PluginError(
                f"the request of {text} {name} is above the limit of {limits[name]}",
                hint=f"raise limit.{name} or lower request.{name}",
                path=f"pluginSpec.resource[request.{name}]",
            )
    return {group: amounts for group, amounts in (("requests", requests), ("limits", limits)) if amounts}


def _amount(key: str, text: str) -> Fraction:
    path = f"pluginSpec.resource[{key}]"
    try:
        amount = parse_quantity(text)
    except ValueError as error:
        raise PluginError(str(error), path=path) from error
    if amount < 0:
        raise PluginError(f"{text} is negative", path=path)
    return amount
