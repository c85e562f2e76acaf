"""Command-line flags as Go's `flag` package reads them, with one dash or two.

`-name value`, `-name=value`; a boolean is `-name` or `-name=true`, never `-name true`. `argparse` cannot do this: it
takes `-nodename` for seven short flags or guesses at abbreviations. All mistakes are found, not just the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgesched.core.shown import shown
from edgesched.core.suggest import did_you_mean
from edgesched.node.settings import Setting


@dataclass(slots=True)
class Flags:
    """What was given: setting name -> (flag as written, value), in order.

    `problems`: one line each. `help`: the flags were asked for.
    """

    given: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    config_file: str | None = None
    help: bool = False


def parse_flags(arguments: Iterable[str], settings: Iterable[Setting]) -> Flags:
    """Sort arguments to settings; values are not parsed yet."""
    by_flag = {flag: setting for setting in settings for flag in setting.flags}
    flags = Flags()
    left = deque(arguments)
    while left:
        argument = left.popleft()
        if not argument.startswith("-") or argument == "-":
            flags.problems.append(f"unexpected argument {shown(argument)!r}{_boolean_hint(argument)}")
            continue
        name, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
        if name in {"h", "help"}:
            flags.help = True
        elif name == "config" or name in by_flag:
            setting = by_flag.get(name)
            if not equals and setting is not None and setting.switch:
                value = "true"
            elif not equals:
                if not left:
                    flags.problems.append(f"--{name}: a value is missing")
                    continue
                value = left.popleft()
            if setting is None:
                flags.config_file = value
            else:
                flags.given.setdefault(setting.name, []).append((f"--{name}", value))
        else:
            flags.problems.append(f"unknown flag --{shown(name)}{_hint(name, by_flag)}")
            if not equals and left and not left[0].startswith("-"):
                left.popleft()  # its value, most likely: one mistake is one line
    return flags


def help_text(settings: Iterable[Setting]) -> str:
    """Return the flags with what they mean, one a line."""
    lines = ["  --config FILE                  configuration file, YAML"]
    for setting in settings:
        for flag in setting.flags[:1]:
            value = "" if setting.switch else " VALUE"
            lines.append(f"  --{flag + value:<28} {setting.about}")
    return "\n".join(lines)


def _hint(name: str, by_flag: Mapping[str, Setting]) -> str:
    hint = did_you_mean(name, [*by_flag, "config"])
    return f" ({hint.replace('mean ', 'mean --')})" if hint else ""


def _boolean_hint(argument: str) -> str:
    return " (a boolean is written --flag=true)" if argument in {"true", "false"} else ""
