"""How text from outside is shown to people.

Names, values and log lines come from job authors, plugins and clouds. Shown as they are they could move a cursor,
forge a log line or fill a screen. So every place that shows them (logs, tables, `explain`, one-line errors) passes
them through `shown`: control characters become `\\xNN` (`\\uNNNN` above 0xFF), and what is longer than 200 characters
is cut.
"""

from __future__ import annotations

import re
from typing import Final

SHOWN_CHARS: Final = 200
"""The longest value that is shown whole."""

_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/@:]*):[^\s/@]*@", re.IGNORECASE)
# C0, DEL and C1 controls; line and paragraph separators; the marks that reorder or hide text on a terminal.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def shown(text: str, limit: int = SHOWN_CHARS) -> str:
    """Make `text` safe to show: cut to `limit` characters, then escaped; ends in an ellipsis when it was cut."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    # what can be printed has none of them, and asking costs a tenth of looking for them
    return cut if cut.isprintable() else _CONTROLS.sub(_escape, cut)


def hide_passwords(text: str) -> str:
    """Replace the password in every URL of `text` by `***`."""
    return _USERINFO.sub(r"\1:***@", text) if "://" in text else text


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
