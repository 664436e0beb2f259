"""Encodes a request as HTTP/1.1."""

import httpx

_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
"""Methods that send `Content-Length: 0` for an empty body (RFC 9110 §8.6)."""

_UNSUPPORTED = frozenset({"HEAD", "CONNECT"})
"""Methods whose responses end differently (RFC 9112 §6.3). httptools does not receive the method of the request."""

_FRAMING = (b"content-length", b"transfer-encoding")
"""Headers that are not copied from the request, because the body determines them."""


def encode_request(request: httpx.Request) -> bytes:
    """Return the head and the body of `request` as one byte string.

    `Content-Length` is derived from the body. The request's own `Content-Length` and `Transfer-Encoding` are ignored.

    Raises:
        httpx.LocalProtocolError: The body is a stream, the method is not supported, or a part of the request would
            begin another header or another request (request splitting).
    """
    method = request.method
    if method in _UNSUPPORTED:
        raise httpx.LocalProtocolError(f"{method} is not supported by HttptoolsTransport.")
    try:
        body = request.content
    except httpx.RequestNotRead:
        raise httpx.LocalProtocolError(
            "HttptoolsTransport does not stream request bodies. Pass bytes, or call `request.aread()` first."
        ) from None
    start = b"%b %b HTTP/1.1" % (method.encode("ascii", "replace"), request.url.raw_path)
    if start.count(b" ") != 2:  # noqa: PLR2004 - a request line has three parts
        raise httpx.LocalProtocolError(f"Invalid request line: {start!r}.")
    lines = [start]
    for name, value in request.headers.raw:
        if name.lower() not in _FRAMING:
            lines.append(b"%b: %b" % (name, value))
    if body or method in _WITH_CONTENT:
        lines.append(b"content-length: %d" % len(body))
    head = b"\r\n".join(lines)
    line_breaks = len(lines) - 1
    if head.count(b"\r") != line_breaks or head.count(b"\n") != line_breaks:
        raise httpx.LocalProtocolError("A request header contains a line break.")
    return b"%b\r\n\r\n%b" % (head, body)
