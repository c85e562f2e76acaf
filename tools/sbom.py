"""sbom.py ROOT   prints what an image or an installed tree holds, as CycloneDX 1.6 (JSON): Python and Debian packages.

ROOT is the folder under which the tree lies: the mounted image, or `/`. `make image` writes build/edgesched.cdx.json.
"""

from __future__ import annotations

import email.parser
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

NAME = "edgesched"
SITE_PACKAGES = ("opt/edgesched/lib/python3*/site-packages", "lib/python3*/site-packages")


def bill(root: Path) -> Bom:
    """Return the bill of materials of a tree. Raises SystemExit when edgesched is not in it."""
    python = {_name(each): each for pattern in SITE_PACKAGES for each in _installed(root, pattern)}
    ours = python.pop(NAME, None)
    if ours is None:
        sys.exit(f"no {NAME} under {root}")
    bom = Bom()
    bom.metadata.component = _python(ours, ComponentType.APPLICATION)
    bom.components.update(_python(each, ComponentType.LIBRARY) for each in python.values())
    bom.components.update(_debian(root))
    bom.register_dependency(bom.metadata.component, bom.components)
    return bom


def _installed(root: Path, pattern: str) -> list[Distribution]:
    return list(distributions(path=[str(folder) for folder in root.glob(pattern)]))


def _name(package: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()


def _python(package: Distribution, kind: ComponentType) -> Component:
    name, said = _name(package), package.metadata.get("License-Expression") or package.metadata.get("License") or ""
    licence = LicenseFactory().make_from_string(said, license_acknowledgement=LicenseAcknowledgement.DECLARED)
    purl = PackageURL("pypi", name=name, version=package.version)
    return Component(
        name=name,
        version=package.version,
        type=kind,
        purl=purl,
        bom_ref=str(purl),
        # some packages put the whole text there
        licenses=[licence] if said and "\n" not in said else [],
    )


def _debian(root: Path) -> Iterator[Component]:
    status = root / "var/lib/dpkg/status"
    if not status.exists():
        return
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', (root / "etc/os-release").read_text(), re.MULTILINE))
    for paragraph in status.read_text().strip().split("\n\n"):
        fields = email.parser.HeaderParser().parsestr(paragraph)
        if not fields["Status"].endswith(" installed"):
            continue
        where = {"arch": fields["Architecture"], "distro": f"{release['ID']}-{release['VERSION_ID']}"}
        purl = PackageURL("deb", release["ID"], fields["Package"], fields["Version"], qualifiers=where)
        yield Component(
            name=fields["Package"],
            version=fields["Version"],
            type=ComponentType.LIBRARY,
            purl=purl,
            bom_ref=str(purl),
        )


if __name__ == "__main__":
    print(JsonV1Dot6(bill(Path(sys.argv[1]))).output_as_string(indent=2))
