"""An httpx transport for HTTP/1.1 calls between services, on the httptools parser.

Read `transport` first: it maps httpx's interface to the rest. `request` encodes a request, `connection` carries one
exchange after the other, `response` holds what has arrived of one response, `pool` keeps idle connections.
"""

from httpx_httptools.transport import HttptoolsTransport

__all__ = ["HttptoolsTransport"]
