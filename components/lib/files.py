"""Files that are either whole or absent: written aside, then renamed."""

import fcntl
import glob
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Lend a sibling path to write a file or a directory to; rename it onto `path` at the end.

    An existing file or directory at `path` is replaced only then. When the block raises, what was
    written is removed and `path` is as it was. A writer that is killed leaves its draft; the next
    one of the same path removes it.

    Yields:
        The path to write to, in the same directory, so that the rename is atomic.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    former = draft.with_suffix(".former.partial")
    with _sharing(path):
        try:
            yield draft
            if path.is_dir() and not path.is_symlink():
                # Moved in one piece: a directory that is half deleted would look like a whole one.
                os.replace(path, former)
            try:
                os.replace(draft, path)
            except OSError:
                if former.exists():
                    os.replace(former, path)
                raise
        finally:
            _remove(draft, former)


@contextmanager
def _sharing(path: Path) -> Iterator[None]:
    """Say by a lock that somebody writes here; with nobody else at it, old drafts are dead."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # It fails while others write, and where the file system knows no locks: nothing is removed.
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for ending in ("partial", "former.partial"):
                _remove(*path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}.{ending}"))
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_SH)
        yield
    finally:
        os.close(folder)


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text_aside(path: Path, text: str) -> None:
    """Write UTF-8 text to `path`, whole or not at all."""
    with aside(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json_aside(path: Path, value: Any) -> None:
    """Write a value as ASCII JSON with sorted keys to `path`, whole or not at all.

    Raises:
        ValueError: a number is not finite: JSON has no NaN and no infinity.
    """
    write_text_aside(path, json.dumps(value, allow_nan=False, sort_keys=True, indent=1) + "\n")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal text."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
