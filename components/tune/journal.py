"""Optuna's journal of trials in a file, as a killed step left it."""

import fcntl
import os
import threading
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock


class _Lock(BaseJournalFileLock):
    """A lock that ends with its process; Optuna's own outlives a kill, and is waited for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = threading.local()

    def acquire(self) -> bool:
        self._held.file = os.open(self._path, os.O_CREAT | os.O_RDWR)
        fcntl.flock(self._held.file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        os.close(self._held.file)


def open_journal(path: Path) -> JournalStorage:
    """The journal at `path`, new or as it was left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _mend(path)
    lock = _Lock(path.with_name(f"{path.name}.lock"))
    return JournalStorage(JournalFileBackend(str(path), lock))


def _mend(path: Path) -> None:
    """Take off a last line that a kill left half written, or the next would be glued to it."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
