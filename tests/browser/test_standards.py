"""The checkers themselves: each finds what it is for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium
from tests.browser.standards import accessibility_complaints, html_complaints

pytestmark = [pytest.mark.slow]

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Page</title><style>
  :root { color-scheme: light dark; } p { color: #777; background: #fff; }
  @media (prefers-color-scheme: dark) { p { background: #000; } }
</style></head>
<body><main><h1>Page</h1><p>Words</p></main></body>
</html>
"""


def test_a_wrong_page_is_no_html() -> None:
    """An element that is not closed, one where it may not stand, an id twice."""
    assert html_complaints(PAGE) == []
    wrong = PAGE.replace("<p>Words</p>", '<ul id="a"><p id="a">Words</ul>')
    told = " ".join(html_complaints(wrong))
    for rule in ("no-dup-id", "element-permitted-content", "no-implicit-close"):
        assert rule in told


def test_grey_words_are_found_where_they_are_grey(tmp_path: Path) -> None:
    """Contrast is judged as the reader prefers it; here only the light scheme is too weak."""

    async def look() -> list[str]:
        (tmp_path / "page.html").write_text(PAGE)
        async with Chromium() as browser:
            await browser.open((tmp_path / "page.html").as_uri())
            return await accessibility_complaints(browser)

    found = asyncio.run(look())
    assert [line.partition(": color-contrast")[0] for line in found] == ["390 px, light", "1100 px, light"]
