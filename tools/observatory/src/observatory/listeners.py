"""The sockets that clients connect to."""

import socket

_BACKLOG = 512


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket for asyncio's servers; raises OSError, naming the port, where it is taken.

    The protocol is named because asyncio sets TCP_NODELAY only then: without it an answer in several small writes, as
    SMTP's are, waits for the client's delayed acknowledgement, 40 ms each.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(
            f"cannot listen on {host}:{port}: {error.strerror}; free the port or set HOPLINE_PORT_OFFSET"
        ) from error
    listener.setblocking(False)
    return listener
