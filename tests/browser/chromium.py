"""A real Chromium, driven by its own protocol over a pipe: no driver, no port, no dependency.

Requests wait for their answers one at a time; what the browser says in between is kept as events.
"""

import os
import signal
import time
from base64 import b64decode
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from select import select
from typing import Any, Final, Literal

import msgspec

PATIENCE_S: Final = 30.0
LAST_WORDS_S: Final = 5.0
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars", "--mute-audio"),
    *("--remote-debugging-pipe", "--force-color-profile=srgb"),
)

Scheme = Literal["light", "dark"]
Answer = dict[str, Any]


class BrowserError(Exception):
    """The browser refuses, or does not answer."""


def executable() -> str | None:
    """Return where Chromium is, if it is anywhere."""
    folders = [Path(each) for each in os.environ.get("PATH", "").split(os.pathsep) if each]
    found = (folder / name for name in _NAMES for folder in folders)
    return next((str(path) for path in found if os.access(path, os.X_OK)), None)


class Chromium:
    """The browser; `open` gives a page."""

    def __init__(self, sending: int, receiving: int) -> None:
        self._sending, self._receiving = sending, receiving
        self._number, self._rest = 0, b""
        self.events: list[Answer] = []

    def open(self) -> "Page":
        """Return a new, empty page in a context of its own."""
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)
        session = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, session["sessionId"])
        for domain in ("Page", "Network", "Runtime", "Log", "Accessibility"):
            page.ask(f"{domain}.enable")
        return page

    def ask(self, method: str, session: str | None = None, **parameters: object) -> Answer:
        """Send one request and return its result."""
        self._number += 1
        request: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            request["sessionId"] = session
        message = msgspec.json.encode(request) + b"\0"
        while message:
            message = message[os.write(self._sending, message) :]
        while True:
            answer = self.next_message()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                result: Answer = answer["result"]
                return result
            self.events.append(answer)

    def next_message(self) -> Answer:
        """Return the next thing that the browser says."""
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self._rest:
            ready, _, _ = select([self._receiving], [], [], max(deadline - time.monotonic(), 0))
            chunk = os.read(self._receiving, 1 << 20) if ready else b""
            if not chunk:
                raise BrowserError("the browser says nothing any more")
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        return msgspec.json.decode(message, type=Answer)


class Page:
    """A page: where it is, how wide, in which scheme, and what can be read from it."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session

    def ask(self, method: str, **parameters: object) -> Answer:
        """Send one request about this page."""
        return self._browser.ask(method, self._session, **parameters)

    def look(self, *, width: int, scheme: Scheme = "light", media: str = "screen") -> None:
        """Be so wide, and prefer such colours."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def go(self, url: str, **headers: str) -> None:
        """Open an address and wait until it is there."""
        if headers:
            self.ask("Network.setExtraHTTPHeaders", headers=headers)
        self._browser.events.clear()
        answer = self.ask("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(answer["errorText"])
        while not self._said("Page.loadEventFired"):
            self._browser.events.append(self._browser.next_message())

    def js(self, expression: str) -> Any:  # noqa: ANN401  whatever the page says
        """Return what an expression is worth in the page."""
        answer = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        code = {"Tab": 9, "Enter": 13}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def picture(self, file: Path) -> None:
        """Write what it looks like, the whole page, as PNG."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(b64decode(shot["data"]))

    @property
    def requests(self) -> list[str]:
        """Return what was asked for since `go`."""
        return [each["request"]["url"] for each in self._said("Network.requestWillBeSent")]

    @property
    def complaints(self) -> list[str]:
        """Return what the browser's console says since `go`: violated policies are there too."""
        return [each["entry"]["text"] for each in self._said("Log.entryAdded")]

    def _said(self, method: str) -> list[Mapping[str, Any]]:
        return [
            each["params"]
            for each in self._browser.events
            if each.get("method") == method and each.get("sessionId") == self._session
        ]


@contextmanager
def chromium(program: str, profile: Path) -> Generator[Chromium]:
    """Start a browser with a profile of its own, and end it."""
    ends = [*os.pipe(), *os.pipe()]
    # Far from 3 and 4, from and to which the browser reads and writes.
    to_child, sending, receiving, from_child = (fcntl(each, F_DUPFD_CLOEXEC, 10) for each in ends)
    for each in ends:
        os.close(each)
    process = os.posix_spawn(
        program,
        [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        {**os.environ, "HOME": str(profile)},
        file_actions=[
            *((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)),
            (os.POSIX_SPAWN_DUP2, to_child, 3),
            (os.POSIX_SPAWN_DUP2, from_child, 4),
        ],
    )
    os.close(to_child)
    os.close(from_child)
    browser = Chromium(sending, receiving)
    try:
        yield browser
        with suppress(BrowserError, OSError):
            browser.ask("Browser.close")
    finally:
        _end(process)
        os.close(sending)
        os.close(receiving)


def _end(process: int) -> None:
    """Wait until the browser has ended, and help it if it takes too long."""
    deadline = time.monotonic() + LAST_WORDS_S
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return
        time.sleep(0.02)
