import threading
from collections.abc import Iterator

import pytest

from shipway.components.ingest.ahead import ahead


def threads() -> int:
    return sum(one.name == "read-ahead" for one in threading.enumerate())


def test_the_order_stays() -> None:
    assert list(ahead(iter(range(1_000)))) == list(range(1_000))
    assert threads() == 0


def test_an_error_comes_where_it_happened() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    taken = ahead(source())
    assert next(taken) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(taken)
    assert threads() == 0


def test_what_is_not_taken_to_its_end_is_closed() -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            closed.append(threading.current_thread().name)

    taken = ahead(source())
    assert next(taken) == 0
    taken.close()  # type: ignore[attr-defined]
    assert closed == ["read-ahead"]
    assert threads() == 0
