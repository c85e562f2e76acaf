"""The documentation as a site: built as `make docs` does, every warning an error, nothing from the network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build the site in a process of its own, as the command line does."""
    command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-d", str(out / "cache")]
    command += ["-c", str(source / "docs"), str(source), str(out / "site")]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """All pages are in the contents, all links and anchors lead somewhere; no page loads anything from elsewhere."""
    built = build(ROOT, tmp_path)
    assert (built.returncode, built.stderr) == (0, "")
    pages = list((tmp_path / "site").rglob("*.html"))
    for source in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        assert tmp_path / "site" / source.relative_to(ROOT).with_suffix(".html") in pages
    for page in pages:
        for address in re.findall(r'<(?:script|link|img|iframe)\b[^>]* (?:src|href)="([^"]+)"', page.read_text()):
            assert "//" not in address, f"{page.name} loads {address}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[a](nowhere.md)", "nowhere.md"),
        ("[a](operators.md#no-such-heading)", "no-such-heading"),
        ("[a](#no-such-heading)", "no-such-heading"),
        ("[a](../deploy/no-such-file.yaml)", "no-such-file.yaml"),
        ("![a](no-such.svg)", "no-such.svg"),
    ],
)
def test_a_link_to_nothing_ends_the_build(text: str, told: str, tmp_path: Path) -> None:
    """To a page, to a heading, to a file, to a picture."""
    (tmp_path / "docs").mkdir()
    for name in ("conf.py", "_templates", "operators.md"):
        copy = shutil.copytree if (ROOT / "docs" / name).is_dir() else shutil.copy
        copy(ROOT / "docs" / name, tmp_path / "docs" / name)
    (tmp_path / "README.md").write_text("# Home\n\n[page](docs/page.md)\n")
    (tmp_path / "docs" / "page.md").write_text(f"# Page\n\n{text}\n")
    built = build(tmp_path, tmp_path)
    assert built.returncode == 1
    assert [line for line in built.stderr.splitlines() if "page.md" in line and told in line], built.stderr
