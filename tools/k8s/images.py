#!/usr/bin/env python3
"""images.py DIR: builds the container images of the node tests without a registry, a daemon or root.

Three archives in docker's format, for `ctr images import`:
- busybox.tar        localhost/edgesched/busybox:1      busybox with its applets, shell as the command
- pause.tar          localhost/edgesched/pause:1        catatonit -P: holds a pod's namespaces, reaps children
- app-meta-cache.tar docker.io/waggle/app-meta-cache:0.1.2   busybox with an /update-app-cache that says what it got

Needs Debian's packages busybox-static and catatonit.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
CATATONIT = Path("/usr/bin/catatonit")
UPDATE_APP_CACHE = '#!/bin/sh\necho "app meta: $*"\n'


def add_file(layer: tarfile.TarFile, name: str, content: bytes, mode: int = 0o755) -> None:
    """Put a file into a layer."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    layer.addfile(entry, io.BytesIO(content))


def add_directory(layer: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    """Put a directory into a layer."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    layer.addfile(entry)


def busybox_layer(extra: dict[str, str] | None = None) -> bytes:
    """Busybox, its applets as links, and extra scripts."""
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w") as layer:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("run", 0o755), ("var", 0o755)):
            add_directory(layer, name, mode)
        add_file(layer, "bin/busybox", BUSYBOX.read_bytes())
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                layer.addfile(link)
        for name, text in (extra or {}).items():
            add_file(layer, name, text.encode())
    return blob.getvalue()


def pause_layer() -> bytes:
    """The one program that holds a pod's namespaces."""
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w") as layer:
        add_file(layer, "pause", CATATONIT.read_bytes())
    return blob.getvalue()


def write_image(path: Path, name: str, layer: bytes, config: dict[str, object]) -> None:
    """Write an image of one layer in docker's archive format."""
    image = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], **config},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        },
        sort_keys=True,
    ).encode()
    image_name = f"{hashlib.sha256(image).hexdigest()}.json"
    index = json.dumps([{"Config": image_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, mode="w") as archive:
        for entry, content in ((image_name, image), ("layer.tar", layer), ("manifest.json", index)):
            add_file(archive, entry, content, 0o644)


def main() -> int:
    """Write the archives; returns the exit code."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    absent = [package for package, path in (("busybox-static", BUSYBOX), ("catatonit", CATATONIT)) if not path.exists()]
    if absent:
        print(f"missing Debian packages: apt-get install {' '.join(absent)}", file=sys.stderr)
        return 1
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    shell: dict[str, object] = {"Cmd": ["/bin/sh"]}
    write_image(directory / "busybox.tar", "localhost/edgesched/busybox:1", busybox_layer(), shell)
    write_image(
        directory / "app-meta-cache.tar",
        "docker.io/waggle/app-meta-cache:0.1.2",
        busybox_layer({"update-app-cache": UPDATE_APP_CACHE}),
        shell,
    )
    pause: dict[str, object] = {"Entrypoint": ["/pause", "-P"]}
    write_image(directory / "pause.tar", "localhost/edgesched/pause:1", pause_layer(), pause)
    return 0


if __name__ == "__main__":
    sys.exit(main())
