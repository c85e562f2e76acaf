"""A headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypeVar

import aiohttp

T = TypeVar("T")


class Chromium:
    """A browser with one page. `complaints`: console errors, exceptions, policy violations, dialogs."""

    def __init__(self, *, width: int = 1100, height: int = 900) -> None:
        self.complaints: list[str] = []
        self._size = (width, height)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0

    async def __aenter__(self) -> Self:
        program = shutil.which("chromium")
        assert program, "Chromium is missing: apt-get install chromium"
        self._folder = TemporaryDirectory(ignore_cleanup_errors=True)
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"]
        self._process = subprocess.Popen(
            [program, *flags, f"--user-data-dir={self._folder.name}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = Path(self._folder.name) / "DevToolsActivePort"
        port = await self.until(lambda: _read_port(port_file), 30)
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as response:
            pages = await response.json()
        page = next(entry for entry in pages if entry["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log"):
            await self.command(f"{domain}.enable")
        await self.resize(*self._size)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await self._socket.close()
        await self._session.close()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    async def _read(self) -> None:
        async for message in self._socket:
            document = json.loads(message.data)
            if "id" in document:
                self._answers.pop(document["id"]).set_result(document)
                continue
            method, given = document["method"], document["params"]
            if method == "Runtime.exceptionThrown":
                self.complaints.append(str(given["exceptionDetails"]))
            elif method == "Log.entryAdded" and given["entry"]["level"] == "error":
                self.complaints.append(given["entry"]["text"])
            elif method == "Runtime.consoleAPICalled" and given["type"] == "error":
                self.complaints.append(str(given["args"]))
            elif method == "Page.javascriptDialogOpening":
                self.complaints.append(f"dialog: {given['message']}")

    async def command(self, method: str, **given: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": given})
        document = await asyncio.wait_for(answer, 30)
        assert "error" not in document, document
        result: dict[str, Any] = document["result"]
        return result

    async def resize(self, width: int, height: int) -> None:
        """Give the page another size."""
        await self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def prefer(self, scheme: str) -> None:
        """Tell the page what its reader prefers: `light` or `dark`."""
        await self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def block(self, pattern: str) -> None:
        """Let the page load nothing from addresses like this."""
        await self.command("Network.enable")
        await self.command("Network.setBlockedURLs", urls=[pattern])

    async def open(self, url: str) -> None:
        """Go to a page and wait until it is there."""
        await self.command("Page.navigate", url=url)
        await self.until(
            lambda: self.value(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")
        )

    async def value(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        result = await self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def press(self, key: str, code: int) -> None:
        """Press a key."""
        for kind in ("rawKeyDown", "keyUp"):
            await self.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    async def screenshot(self, path: Path) -> None:
        """Save what is seen."""
        result = await self.command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(result["data"]))

    async def until(self, condition: Callable[[], Awaitable[T] | T], timeout_s: float = 15.0) -> T:
        """Return the first true value of a condition."""
        end_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            found = condition()
            value = await found if isinstance(found, Awaitable) else found
            if value:
                return value
            assert asyncio.get_running_loop().time() < end_s, f"waited {timeout_s} s in vain; {self.complaints}"
            await asyncio.sleep(0.05)


def _read_port(file: Path) -> str:
    return file.read_text().splitlines()[0] if file.exists() and file.read_text() else ""
