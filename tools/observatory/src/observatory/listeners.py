"""Listening sockets."""

import errno
import socket

_BACKLOG = 512


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket for asyncio's servers. Raises OSError with the address and what to do.

    asyncio sets TCP_NODELAY only if the protocol of the socket is set explicitly. Without TCP_NODELAY, a response in
    several small writes, as in SMTP, would wait 40 ms for the client's delayed acknowledgement.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        is_taken = error.errno == errno.EADDRINUSE
        remedy = "free the port or set HOPLINE_PORT_OFFSET" if is_taken else "set HOST to an address of this machine"
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}; {remedy}") from error
    listener.setblocking(False)
    return listener
