"""Stand-ins for remote APIs answer over HTTP from a thread of the tests' own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from threading import Thread


@contextmanager
def answering(server: BaseServer) -> Iterator[None]:
    """Let a server answer until the block ends."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
