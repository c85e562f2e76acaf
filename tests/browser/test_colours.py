"""The colours of the pages: all that a style sheet shows can be read, in light and in dark (WCAG 2.2 AA)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "edgesched" / "node" / "page" / "page.css"
CLOUD = ROOT / "edgesched" / "cloud" / "pages" / "style.css"
# lines between rows say nothing
SILENT = {"rule", "line"}
GROUNDS = {"back", "ground", "soft"}


def schemes(sheet: Path) -> dict[str, dict[str, str]]:
    """The colours of a sheet by name, in light and in dark."""
    found = re.findall(r":root\s*\{([^}]*)\}", sheet.read_text())
    light, dark = (dict(re.findall(r"--(\w+): (#\w+)", block)) for block in found)
    return {"light": light, "dark": dark}


def luminance(colour: str) -> float:
    """The relative luminance of `#rgb` or `#rrggbb`, 0 to 1."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_as_the_standard_counts_it() -> None:
    """The examples that everybody knows."""
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sheet", [NODE, CLOUD], ids=["node", "cloud"])
def test_everything_can_be_read(sheet: Path, scheme: str) -> None:
    """4.5 to 1 on the ground of the page for all that says something: words, and marks and bars beside them."""
    colours = schemes(sheet)[scheme]
    ground = next(colours[name] for name in colours if name in GROUNDS)
    low = {
        name: contrast(colour, ground)
        for name, colour in colours.items()
        if name not in GROUNDS | SILENT and contrast(colour, ground) < 4.5
    }
    assert low == {}


@pytest.mark.parametrize("sheet", [NODE, CLOUD], ids=["node", "cloud"])
def test_no_colour_stands_outside_of_the_variables(sheet: Path) -> None:
    """Else the contrast of that one would be nobody's."""
    rules = re.sub(r":root\s*\{[^}]*\}", "", sheet.read_text())
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[;\s}])", rules) == []
    assert set(re.findall(r"(?:fill|stroke|color|background): ([^;}]+)", rules)) <= {
        "none", *(f"var(--{name})" for name in schemes(sheet)["light"]),
    }  # fmt: skip
    assert schemes(sheet)["light"].keys() == schemes(sheet)["dark"].keys()
