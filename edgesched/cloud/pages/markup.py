"""HTML as text: escaping, the frame around every page, words for times."""

from __future__ import annotations

import html
from typing import Final

from edgesched.cloud.answers import rfc3339
from edgesched.core.model import NS_PER_S
from edgesched.core.shown import shown

LONGEST: Final = 200


def esc(text: object, limit: int = LONGEST) -> str:
    """Return text from outside as HTML: controls visible, cut, escaped."""
    return html.escape(shown(str(text), limit), quote=True)


def page(title: str, body: str, *, live: str) -> str:
    """Return a whole page. `live`: address of its changes."""
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{esc(title)}</title>\n"
        '<link rel="stylesheet" href="/static/style.css">\n'
        '<link rel="icon" href="/static/icon.svg" type="image/svg+xml">\n'
        '<script src="/static/live.js" defer></script>\n'
        "</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the content</a>\n'
        '<header><a href="/jobs">Edge scheduler</a><span id="live" role="status"></span></header>\n'
        f'<main id="main" tabindex="-1" data-live="{esc(live)}">\n{body}</main>\n</body>\n</html>\n'
    )


def table(caption: str, heads: list[str], rows: list[list[str]], *, empty: str) -> str:
    """Return a table of HTML cells, or a sentence when there are no rows."""
    if not rows:
        return f"<p>{esc(empty)}</p>\n"
    head = "".join(f'<th scope="col">{esc(text)}</th>' for text in heads)
    lines = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<section class="wide" tabindex="0" aria-label="{esc(caption)}"><table>'
        f"<caption>{esc(caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody></table></section>\n"
    )


def state_mark(state: str) -> str:
    """Return a state as a coloured word."""
    return f'<span class="state {esc(state.lower())}">{esc(state)}</span>'


def time_mark(ts_ns: int | None) -> str:
    """Return a time to the second, a dash for none."""
    if ts_ns is None:
        return "-"
    exact = rfc3339(ts_ns, trim=True)
    return f'<time datetime="{exact}">{exact[:10]} {exact[11:19]}</time>'


def span_text(length_ns: int) -> str:
    """Return a length of time in its two largest units."""
    seconds = max(0, length_ns // NS_PER_S)
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
