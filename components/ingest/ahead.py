"""Reads ahead: one thread makes batches while another uses them."""

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class _Ahead(Generic[T]):
    """A thread that takes from an iterator, a few things at a time, until it is closed."""

    def __init__(self, source: Iterator[T], depth: int) -> None:
        self._source = source
        self._made: queue.Queue[tuple[list[T], BaseException | None]] = queue.Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._make, daemon=True, name="read-ahead")
        self._thread.start()

    def _make(self) -> None:
        failure: BaseException | None = None
        try:
            for one in self._source:
                self._put([one], None)
                if self._closed.is_set():
                    break
        except BaseException as error:  # told to the thread that takes
            failure = error
        finally:
            # A generator is closed by the thread that ran it.
            close = getattr(self._source, "close", None)
            if close is not None:
                with suppress(Exception):
                    close()
        self._put([], failure)

    def _put(self, made: list[T], failure: BaseException | None) -> None:
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._made.put((made, failure), timeout=0.1)
                return

    def take(self) -> Iterator[T]:
        """What the iterator gives, in its order; its error, where it fails."""
        while True:
            made, failure = self._made.get()
            if failure is not None:
                raise failure
            if not made:
                return
            yield from made

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()


def ahead(source: Iterator[T], depth: int = 2) -> Generator[T, None, None]:
    """The same things, made by a thread of its own up to `depth` ahead of their use."""
    with closing(_Ahead(source, depth)) as thread:
        yield from thread.take()
