"""Making a virtual environment from a lock with `uv`, and saying what to do when that fails."""

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

from shipway.components.lib.errors import ConfigurationError

LAST_LINES = 12
# What uv says, and what to do about it: the first that fits.
CURES = (
    (r"No space left on device|Disk quota exceeded", "The disk is full. Free 5 GB"),
    (
        r"No interpreter found|python-build-standalone|Invalid version request",
        "Install Python {python} (`uv python install {python}`, pyenv or the system's packages)",
    ),
    (
        r"[Hh]ash mismatch",
        "A download is not what the lock names. Clear uv's cache (`uv cache clean`); if it stays "
        "so, the package index alters its files",
    ),
    (
        r"no (usable )?wheel|no wheels with a matching|doesn't have a (source|wheel)",
        "A package has no build for this system. Use Linux on x86_64, or the images",
    ),
    (
        r"error: command '.*(cc|\+\+)'|Python\.h|Failed to build",
        "Install a C++ compiler and Python's headers (g++, python3-dev)",
    ),
    (
        r"Failed to (fetch|download)|network was disabled|dns error|error sending request",
        "The package index cannot be reached. Check the network, the proxy (HTTPS_PROXY) and the "
        "certificates (SSL_CERT_FILE)",
    ),
)


class Installer:
    """Runs `uv`, in as many threads as one likes, until it is called off."""

    def __init__(self) -> None:
        """Make an installer that nobody has called off."""
        self._lock = threading.Lock()
        self._called_off = False
        self._running: set[subprocess.Popen[bytes]] = set()

    def install(self, environment: Path, python: str, lock: Path, log: Path, what: str) -> None:
        """Make a virtual environment that holds exactly what a lock names.

        Args:
            environment: where it goes; nothing may be there.
            python: version or path of the interpreter.
            lock: requirements with hashes; nothing that it does not name is installed.
            log: file for what `uv` prints.
            what: who needs the environment, for the message of an error.

        Raises:
            ConfigurationError: it cannot be made, with the cause and the cure.
        """
        with log.open("wb") as output:
            venv = ["venv", "--quiet", "--python", python, str(environment)]
            install = ["pip", "install", "--python", str(environment / "bin" / "python")]
            # Bytecode now, since a shell may forbid to write it later.
            install += ["--no-deps", "--require-hashes", "--compile-bytecode", "-r", str(lock)]
            for words in (venv, install):
                if self._run(words, output.fileno()):
                    self.check()
                    raise ConfigurationError(_explain(what, lock, log, python))

    def check(self) -> None:
        """Go on only if nobody has called off.

        Raises:
            ConfigurationError: the builds have been called off.
        """
        if self._called_off:
            raise ConfigurationError("The build was called off; run again to take it up.")

    def call_off(self) -> None:
        """End what runs, and let nothing new begin."""
        with self._lock:
            self._called_off = True
            for process in self._running:
                os.killpg(process.pid, signal.SIGTERM)

    def _run(self, words: list[str], output: int) -> int:
        # A machine's own certificates count, as they do for pip.
        variables = {**os.environ, "UV_SYSTEM_CERTS": "1"}
        variables.pop("VIRTUAL_ENV", None)
        with self._lock:
            self.check()
            process = subprocess.Popen(
                [_find_uv(), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=variables,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            # Reaped under the lock: a process that is gone must not be signalled by its number.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            with self._lock:
                self._running.discard(process)
        return process.wait()


def _find_uv() -> str:
    try:
        import uv

        return uv.find_uv_bin()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ConfigurationError(
            "Local runs need 'uv', which is not installed here. Install it with the rest of what "
            "they need: pip install 'shipway[local]'."
        ) from error


def _explain(what: str, lock: Path, log: Path, python: str) -> str:
    printed = log.read_text(encoding="utf-8", errors="replace").rstrip()
    cure = next((cure for sign, cure in CURES if re.search(sign, printed)), "Read the log")
    last = "\n".join(printed.splitlines()[-LAST_LINES:])
    return (
        f"The environment of {what} could not be built from '{lock.name}'. "
        f"{cure.format(python=python)}, and run again. Whole log: {log}\n{last}"
    )
