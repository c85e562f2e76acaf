"""Pages against the standards: HTML (html-validate) and accessibility (axe-core, WCAG 2.2 AA and good practice)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.browser.chromium import Chromium

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
SCHEMES = ("light", "dark")
# what a reader may see: a phone in the hand, and a desk
SIZES = ((390, 800), (1100, 900))


def html_complaints(text: str) -> list[str]:
    """Return what an HTML validator says against a page, a line each; empty when nothing."""
    node = shutil.which("node")
    assert node, "Node.js is missing: make test-browser"
    assert MODULES.exists(), "the checkers are missing: make test-browser"
    command = [node, str(MODULES / "html-validate" / "bin" / "html-validate.mjs"), "--formatter=json", "--stdin"]
    command += [f"--config={HERE / 'htmlvalidate.json'}"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False, cwd=HERE)
    assert done.returncode in (0, 1), done.stderr
    return [
        f"{said['ruleId']}: {said['message']} (line {said['line']})"
        for report in json.loads(done.stdout)
        for said in report["messages"]
    ]


async def accessibility_complaints(browser: Chromium) -> list[str]:
    """Return what is hard to use for some readers, at each size, in light and in dark; hidden sections are opened.

    What axe-core cannot decide counts, too, but for contrast over a picture or beside a scrolled edge: colours come
    from the few variables of the style sheet, and `test_colours.py` holds every pair of them.
    """
    await browser.value((MODULES / "axe-core" / "axe.min.js").read_text() + "; undefined")
    await browser.value("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    found = []
    for width, height in SIZES:
        await browser.resize(width, height)
        for scheme in SCHEMES:
            await browser.prefer(scheme)
            result = json.loads(await browser.value(_RUN))
            assert result["passed"] > 10, "the checker has looked at nothing"
            found += [f"{width} px, {scheme}: {broken}" for broken in result["broken"]]
    return found


_RUN = """\
axe.run(document, {
  runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
}).then((found) => {
  const undecided = found.incomplete.filter((rule) => rule.id !== 'color-contrast');
  const broken = [...found.violations, ...undecided].flatMap(
    (rule) => rule.nodes.map((node) => `${rule.id}: ${node.failureSummary} ${node.html}`));
  return JSON.stringify({ passed: found.passes.length, broken });
})"""
