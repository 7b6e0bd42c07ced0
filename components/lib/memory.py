"""How much memory this process may use."""

import os
from pathlib import Path

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
