"""The gateway's own HTTP/1.1 client: kept-alive connections on httptools, the parser that uvicorn stands on (ADR 5).

`request` writes, `connection` makes one exchange after the other, `pool` keeps connections and decides which of them
makes the next. It does what calls between our own services need and no more: no HEAD, no redirects, no cookies, no
proxies, no compression. Failures have the names of `gateway.errors`.
"""

from gateway.connections.pool import Connections
from gateway.connections.reply import Reply

__all__ = ["Connections", "Reply"]
