"""The main process of a serve container: ends when nobody needs the container any more.

`python -m shipway.pipelines.keeper LOCK`: the run holds a lock on a file for as long as it goes
on, and the kernel lets go of it when the run is killed.
"""

import fcntl
import os
import sys
import time
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.5


def main() -> None:
    """Wait until the run is over and no other process is left in this container."""
    with Path(sys.argv[1]).open("rb") as lock:
        while _is_held(lock) or _has_neighbours():
            time.sleep(POLL_SECONDS)


def _is_held(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _has_neighbours() -> bool:
    """Whether another process sees the same files: processes of other containers are seen too."""
    own = os.readlink("/proc/self/ns/mnt")
    for namespace in Path("/proc").glob("[0-9]*/ns/mnt"):
        try:
            if os.readlink(namespace) == own and namespace.parts[2] != str(os.getpid()):
                return True
        except OSError:  # it has ended, or is not ours to look at
            continue
    return False


if __name__ == "__main__":
    main()
