"""An httpx transport for HTTP/1.1 calls between services, on the httptools parser.

Read `transport` first: it implements httpx's interface with the other modules. `request` encodes a request,
`connection` sends requests one after another and parses their responses, `response` buffers one response, and `pool`
keeps idle connections.
"""

from httpx_httptools.transport import HttptoolsTransport

__all__ = ["HttptoolsTransport"]
