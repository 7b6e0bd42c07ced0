"""One headless browser for many pages, driven by the DevTools protocol."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 120.0


def installed() -> str | None:
    """The browser of this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """A browser without network, to be closed; its one tab shows one file at a time."""

    def __init__(self, program: str, profile: Path) -> None:
        quiet = subprocess.DEVNULL
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options += ["--no-proxy-server", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        command = [program, *options, "about:blank"]
        self._process = subprocess.Popen(
            command, stdout=quiet, stderr=quiet, start_new_session=True
        )
        self._number = 0
        try:
            self._tab = websocket.create_connection(
                self._address(profile / "DevToolsActivePort"), SECONDS, suppress_origin=True
            )
            for domain in ("Page", "Runtime", "Network"):
                self._call(f"{domain}.enable")
            offline = {"offline": True, "latency": 0, "downloadThroughput": 0}
            self._call("Network.emulateNetworkConditions", uploadThroughput=0, **offline)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the browser with all of its processes."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(SECONDS)

    def _address(self, told: Path) -> str:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if told.is_file() and (lines := told.read_text().splitlines()):
                with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list") as answer:
                    tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
                if tabs:
                    return str(tabs[0]["webSocketDebuggerUrl"])
            time.sleep(0.1)
        raise TimeoutError("the browser opened no tab")

    def _call(self, method: str, until: str = "", **parameters: Any) -> dict[str, Any]:
        """Send a command; its result, once the event `until` was seen too."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._tab.send(json.dumps(message))
        result, seen = None, not until
        while result is None or not seen:
            told = json.loads(self._tab.recv())
            seen = seen or told.get("method") == until
            if told.get("id") == self._number:
                assert "error" not in told, (method, told)
                result = told["result"]
        return dict(result)

    def show(self, page: Path, *, dark: bool = False, width: int = 1280, height: int = 900) -> None:
        """Open a file, in the colours and the width that a reader has."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        self._call("Page.navigate", until="Page.loadEventFired", url=page.resolve().as_uri())

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page, which may be a promise."""
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True}
        found = self._call("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key where the focus is."""
        pressed = {"key": key, "windowsVirtualKeyCode": code, "text": text}
        self._call("Input.dispatchKeyEvent", type="keyDown", **pressed)
        self._call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def paper(self) -> str:
        """The page as an A4 PDF, in base64."""
        size = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True}
        return str(self._call("Page.printToPDF", **size)["data"])

    def picture(self) -> str:
        """The whole page as PNG, in base64."""
        return str(self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"])
