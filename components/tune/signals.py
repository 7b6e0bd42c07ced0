"""SIGTERM as a wish and not an end: what runs may finish with what it has."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_log = logging.getLogger(__name__)


@contextmanager
def told_to_end() -> Iterator[threading.Event]:
    """An event that SIGTERM sets while the block runs, if the main thread runs it."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def told(number: int, frame: FrameType | None) -> None:
        _log.warning("told to end: the best so far is taken")
        event.set()

    before: Any = signal.signal(signal.SIGTERM, told)
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)
