"""The parser class of the command line, with one thing that `argparse` lacks.

A command added with `raw=True` gets its arguments as they are in `rest`: the node agent's flags are written in Go's
style, and `argparse` would take `-nodename` apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


class _Wide(argparse.HelpFormatter):
    """Help with room for the longest command."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser`; `raw` hands the arguments over untouched, `flags_help` is what its help says of them."""

    def __init__(self, *positional: Any, raw: bool = False, **named: Any) -> None:
        named = {"allow_abbrev": False, "formatter_class": _Wide, **named, "add_help": not raw}
        super().__init__(*positional, **named)
        self._raw = raw

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as `argparse` does, or keep all arguments."""
        if not self._raw:
            return super().parse_known_args(args, namespace)
        parsed = argparse.Namespace() if namespace is None else namespace
        parsed.rest = list(args or ())
        if {"-h", "-help", "--help"} & set(parsed.rest):
            self.print_help()
            self.exit(0)
        return parsed, []

    def format_help(self) -> str:
        """Return the help; that of a raw command ends with the flags of the node agent."""
        if not self._raw:
            return super().format_help()
        from edgesched.node.flags import help_text
        from edgesched.node.settings import SETTINGS

        return f"{super().format_help()}\nflags (one dash or two, -flag value or -flag=value):\n{help_text(SETTINGS)}\n"
