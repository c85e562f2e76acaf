"""A person who has only the README sees a plugin run on a real node: its commands, word by word, and no others.

It makes a node of its own, and there is one node on a machine at a time: in this folder it runs before those tests that
keep theirs until the end of the session.
"""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

import pytest

from tests.waiting import wait_until

pytestmark = [pytest.mark.node, pytest.mark.timeout(3000)]
ROOT = Path(__file__).resolve().parents[2]


def commands() -> list[str]:
    """The commands of the README from `make node` to `make node-down`, without comments and `sudo`."""
    text = (ROOT / "README.md").read_text()
    found = re.search(r"^    sudo make node .*?^    sudo make node-down$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [line.partition("#")[0].strip().removeprefix("sudo ") for line in found[0].splitlines()]


def run(command: str, timeout_s: float) -> str:
    """Run a line as a shell does and return what it prints."""
    words = ["bash", "-c", command]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout_s)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def test_the_commands_of_the_readme() -> None:
    """A node, one `kubectl apply -k`, and the plugin of the try-out job is Running, then Completed."""
    make_node, apply, watch, make_down = commands()
    assert apply == "kubectl apply -k deploy/kubernetes/overlays/test-node"
    seen: list[str] = []
    try:
        told = run(make_node, 2400)
        (export,) = [line for line in told.splitlines() if line.startswith("export ")]
        run(f"{export}\n{apply}", 120)
        command = ["bash", "-c", f"{export}\nexec {watch}"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            lines = watching.stdout
            reader = threading.Thread(target=lambda: seen.extend(lines))
            reader.start()
            try:
                for state in (" Running ", " Completed "):
                    wait_until(lambda state=state: [line for line in seen if state in line], 300, what=state)  # type: ignore[misc]
            finally:
                watching.terminate()
                reader.join(10)
        assert all(line.startswith(("NAME", "hello-")) for line in seen), seen
    finally:
        run(make_down, 120)
