"""Refuses encoded request bodies: no service decodes them, and a small one could decode to any size."""

from starlette.types import ASGIApp, Receive, Scope, Send

from shared.errors import UnsupportedMediaType, problem_response


class ContentCoding:
    """ASGI middleware: 415 for a request with a `Content-Encoding` but `identity` (RFC 9110 §15.5.16)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other protocols pass through."""
        if scope["type"] != "http" or not _is_encoded(scope):
            await self._app(scope, receive, send)
            return
        problem = UnsupportedMediaType(
            "Send the body without a Content-Encoding", headers={"Accept-Encoding": "identity"}
        )
        await problem_response(problem, instance=scope["path"])(scope, receive, send)


def _is_encoded(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-encoding":
            codings = {coding.strip().lower() for coding in value.split(b",")}
            if codings - {b"", b"identity"}:
                return True
    return False
