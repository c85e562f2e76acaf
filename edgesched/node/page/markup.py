"""Pieces of HTML. Everything that comes from outside goes through `esc`."""

from __future__ import annotations

import html
from collections.abc import Sequence

from edgesched.core.shown import shown

LONGEST = 300


def esc(text: object, limit: int = LONGEST) -> str:
    """Return text as HTML: control characters visible, cut, escaped."""
    return html.escape(shown(str(text), limit), quote=True)


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> str:
    """Return a table of cells that are HTML already; a sentence when there are no rows."""
    if not rows:
        return f"<p>{esc(empty)}</p>\n"
    head = "".join(f'<th scope="col">{esc(each)}</th>' for each in heads)
    body = "\n".join(
        "<tr>" + f'<th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return (
        f'<section class="wide" aria-label="{esc(caption)}" tabindex="0">\n<table>\n'
        f"<caption>{esc(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</section>\n"
    )


def moment(when: str | None, now: str) -> str:
    """Return an RFC 3339 time: time of day, with the date when it is not today's."""
    if not when:
        return "-"
    text = when[11:19] if when[:10] == now[:10] else f"{when[:10]} {when[11:16]}"
    return f'<time datetime="{esc(when)}">{text}</time>'


def mark(word: str) -> str:
    """Return a state as a word with a coloured dot before it."""
    return f'<span class="state {esc(word).replace(" ", "-")}">{esc(word)}</span>'


def words(cell: str) -> str:
    """Return a cell with a sentence, which a narrow screen must not squeeze; an empty one takes no room."""
    return f'<div class="words">{cell}</div>' if cell else ""
