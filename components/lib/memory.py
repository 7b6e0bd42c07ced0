"""How much memory this process may use."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

SHARE = 0.5  # of the memory, that the rows of one training may take
BYTES_A_CELL = 4 + 5.2  # float32, and the quantised matrix where cells are missing
LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def memory_limit(limits: tuple[Path, ...] = LIMITS) -> int:
    """Bytes: the container's limit, or the machine's memory where there is none.

    Args:
        limits: files of the control group, of version 2 and 1; "max" stands for none.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in limits:
        try:
            found.append(int(file.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(found)


def rows_that_fit(features: int) -> int:
    """How many rows of so many features may be trained on in memory."""
    return int(SHARE * memory_limit() / (BYTES_A_CELL * max(1, features)))


def give_back() -> None:
    """Give memory that nothing holds back to the system: allocators keep what a table took."""
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # the C library is not glibc
        ctypes.CDLL(None).malloc_trim(0)
