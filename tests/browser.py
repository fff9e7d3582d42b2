"""A headless Chromium driven by its own protocol over a pipe: no driver, no network, nothing to install beside it.

Protocol: https://chromedevtools.github.io/devtools-protocol/; messages are JSON, each ended by a zero byte.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
#: no sandbox, since tests may run as root in a container; nothing that a browser does by itself in the background
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def installed() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@dataclass
class Page:
    """A page: what it asked for and what it complained of since it was opened."""

    reader: IO[bytes]
    writer: IO[bytes]
    session: str = ""
    requests: list[str] = field(default_factory=list[str])
    complaints: list[str] = field(default_factory=list[str])
    _sent: int = 0

    def open(self, file: Path, *, width: int, height: int = 900, dark: bool = False, phone: bool = False) -> None:
        """Load a file at a size in CSS pixels and wait until it is shown."""
        self.requests.clear()
        self.complaints.clear()
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media="screen", features=[scheme])
        self.ask("Page.navigate", url=file.resolve().as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    def screenshot(self) -> bytes:
        """Return the whole page as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def printed(self) -> bytes:
        """Return the page as PDF on A4."""
        self.ask("Emulation.setEmulatedMedia", media="print")
        paper = {"paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": False}
        return base64.b64decode(self.ask("Page.printToPDF", **paper)["data"])

    def ask(self, method: str, **given: Any) -> dict[str, Any]:
        """Send a command and return what it results in."""
        self._sent += 1
        of = {"sessionId": self.session} if self.session else {}
        self.writer.write(json.dumps({"id": self._sent, "method": method, "params": given, **of}).encode() + b"\0")
        self.writer.flush()
        while (message := self._read()).get("id") != self._sent:
            pass
        if "error" in message:
            raise AssertionError(f"{method}: {message['error']}")
        return message["result"]

    def _read(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self.reader.read(1)) != b"\0":
            if not byte:
                raise AssertionError("the browser went away")
            text += byte
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, said: Mapping[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(said["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(said))


@contextmanager
def page(profile: Path) -> Generator[Page]:
    """Start a browser with a fresh profile and yield a page; end it afterwards."""
    command = [str(installed()), *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    theirs, ours = os.pipe(), os.pipe()
    # The browser reads commands from descriptor 3 and writes answers to 4; sh knows no descriptor above 9.
    shell = ["bash", "-c", f'exec "$@" 3<&{theirs[0]} 4>&{ours[1]} 2>/dev/null', "bash", *command]
    process = subprocess.Popen(shell, pass_fds=(theirs[0], ours[1]))
    os.close(theirs[0])
    os.close(ours[1])
    with open(ours[0], "rb") as reader, open(theirs[1], "wb") as writer:
        try:
            yield _attached(Page(reader, writer))
        finally:
            _end(process, writer)


def _end(process: subprocess.Popen[bytes], writer: IO[bytes]) -> None:
    """Ask the browser to close, so that none of its processes writes into the profile any more."""
    with suppress(OSError, subprocess.TimeoutExpired):
        writer.write(b'{"id": 0, "method": "Browser.close"}\0')
        writer.flush()
        process.wait(timeout=10)
    process.kill()
    process.wait()


def _attached(page: Page) -> Page:
    target = next(one for one in page.ask("Target.getTargets")["targetInfos"] if one["type"] == "page")
    page.session = page.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
    for domain in ("Page", "Network", "Runtime", "Log"):
        page.ask(f"{domain}.enable")
    return page
