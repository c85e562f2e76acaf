"""The bill of materials: valid, and with all that a node runs on, at the versions that CI tested."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools.sbom import bill

ROOT = Path(__file__).resolve().parents[2]
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36-9+deb12u10
Description: GNU C Library
 more words

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What an image holds: the packages of this environment, where the image has them, and Debian's list."""
    packages = tmp_path / "opt/edgesched/lib/python3.11/site-packages"
    for folder in Path(sys.prefix).glob("lib/python3*/site-packages/*.dist-info"):
        shutil.copytree(folder, packages / folder.name)
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="12"\n')
    return tmp_path


def plain(name: str) -> str:
    """The name of a package in the one spelling that indexes use."""
    return re.sub(r"[-_.]+", "-", name).lower()


def written(tree: Path) -> dict[str, Any]:
    """The bill of a tree, as it is written, and held to its schema."""
    text = JsonV1Dot6(bill(tree)).output_as_string()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found: dict[str, Any] = json.loads(text)
    return found


def test_it_lists_every_runtime_dependency_at_its_pinned_version(tree: Path) -> None:
    """And names the program itself, which depends on all of them."""
    document = written(tree)
    listed = {component["name"]: component["version"] for component in document["components"]}
    text = (ROOT / "requirements/constraints.txt").read_text()
    pinned = {plain(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["amqp"]]
    for requirement in wanted:
        name = plain(re.split(r"[^\w.-]", requirement)[0])
        assert listed[name] == pinned[name], name
    assert document["metadata"]["component"]["name"] == "edgesched"
    depends = {each["ref"]: each.get("dependsOn", []) for each in document["dependencies"]}
    assert len(depends[document["metadata"]["component"]["bom-ref"]]) == len(document["components"])


def test_it_lists_what_is_installed_of_debian(tree: Path) -> None:
    """With an address that a scanner for holes understands; what was removed is not there."""
    purls = [each["purl"] for each in written(tree)["components"] if each["purl"].startswith("pkg:deb/")]
    assert purls == ["pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12"]


def test_a_tree_without_the_agent_is_refused(tmp_path: Path) -> None:
    """A bill of nothing would look like a clean one."""
    with pytest.raises(SystemExit, match="no edgesched under"):
        bill(tmp_path)
