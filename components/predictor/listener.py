"""The socket of the server: bound before the model is loaded, so that a busy port is told at once.

It does not listen yet: until the model is ready, connections are refused.
"""

import errno
import socket

from shipway.components.lib.errors import EndpointError


def inherit(descriptor: int) -> socket.socket:
    """The socket that the process was started with.

    Raises:
        EndpointError: the descriptor is no socket.
    """
    try:
        return socket.socket(fileno=descriptor)
    except OSError as error:
        raise EndpointError(
            f"--http_fd {descriptor} is no socket that this process inherited ({error})."
        ) from error


def bind(host: str, port: int) -> socket.socket:
    """Bind a TCP socket.

    Args:
        host: an address of this machine, "0.0.0.0" for all.
        port: 0 takes a free one.

    Raises:
        EndpointError: the port is taken, may not be used, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        cures = {
            errno.EADDRINUSE: "another program has it; stop that one or choose another --http_port",
            errno.EACCES: "it may not be used; choose one above 1023",
            errno.EADDRNOTAVAIL: "the address is not of this machine; choose another --host",
        }
        cure = cures.get(error.errno or 0, str(error))
        raise EndpointError(f"Cannot listen on {host}:{port}: {cure}.") from error
    return listener
