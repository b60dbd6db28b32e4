"""Taking a port for oneself alone, and telling plainly when somebody else has it."""

import errno
import socket

from node.exits import Occupied

BACKLOG = 256


def bind(host: str, port: int, what: str) -> socket.socket:
    """A listening socket that no other can share; `Occupied` names who wanted it.

    Never SO_REUSEPORT: with it two daemons share a port in silence.  Port 0 takes a free one.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _told(error, host, port, what) from None
    listener.setblocking(False)
    return listener


def probe(host: str, port: int, what: str) -> None:
    """`Occupied` if `bind` would fail now; for libraries that insist on binding themselves."""
    bind(host, port, what).close()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago: for children that take a number, not a socket."""
    with bind(host, 0, "a free port") as listener:
        port: int = listener.getsockname()[1]
        return port


def _told(error: OSError, host: str, port: int, what: str) -> Occupied:
    if error.errno == errno.EADDRINUSE:
        return Occupied(
            f"{what}: port {port} on {host} is taken by another process; "
            f"stop that one (`ss -ltnp 'sport = :{port}'` shows it) or set another port"
        )
    if error.errno == errno.EACCES:
        return Occupied(f"{what}: no right to port {port} on {host}; set one above 1023")
    return Occupied(f"{what}: cannot listen on {host}:{port}: {error.strerror or error}")
