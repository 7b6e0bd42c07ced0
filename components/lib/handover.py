"""A listening socket is passed from a server to the one that replaces it.

Both accept from one queue until the old one ends, so no connection is refused or reset. The old
server offers its socket at a Unix socket, to processes of its own user.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

TAKE_SECONDS = 5.0


class Offer:
    """The Unix socket at which a listening socket is given away.

    Attributes:
        taken: whether somebody got it.
    """

    def __init__(self, path: Path, listener: socket.socket) -> None:
        """Offer a socket.

        Args:
            path: of the Unix socket; what lies there is replaced.
            listener: the socket; a copy of it is kept until the end.

        Raises:
            OSError: the path cannot be used.
        """
        self.taken = False
        self._path = path
        self._listener = listener.dup()
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        with _short(path) as short:
            self._door.bind(short)
        path.chmod(0o600)
        self._door.listen()
        self._door.setblocking(False)

    def fileno(self) -> int:
        """The file descriptor that is readable when somebody asks."""
        return self._door.fileno()

    def give(self) -> None:
        """Answer one who asks."""
        with contextlib.suppress(OSError):
            caller, _ = self._door.accept()
            with caller:
                who = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                if struct.unpack("3i", who)[1] == os.getuid():
                    socket.send_fds(caller, [b"1"], [self._listener.fileno()])
                    self.taken = True

    def close(self) -> None:
        """Give nothing more."""
        self._door.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)


def take(path: Path) -> socket.socket:
    """Take the socket that is offered at a path.

    Raises:
        OSError: nobody offers one there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(TAKE_SECONDS)
        with _short(path) as short:
            door.connect(short)
        _, descriptors, _, _ = socket.recv_fds(door, 1, 1)
    if not descriptors:
        raise ConnectionError(f"'{path}' gave no socket")
    return socket.socket(fileno=descriptors[0])


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The path in a form that fits: a Unix socket's has 107 bytes at most."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
