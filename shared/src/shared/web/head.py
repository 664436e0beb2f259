"""HEAD for every route that serves GET (RFC 9110 §9.3.2)."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGetMiddleware:
    """ASGI middleware: serves HEAD as GET, without the body.

    FastAPI's routes do not serve HEAD, and HEAD operations would appear in the OpenAPI document. A HEAD costs as much
    as its GET. Outer middleware gets a scope with the method HEAD and, as usual, the matched route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other methods pass through."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        routed = {**scope, "method": "GET"}

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope.update(routed, method="HEAD")  # the router wrote the matched route into its copy
                await send(message)
            elif not message.get("more_body", False):
                await send({"type": "http.response.body"})

        await self._app(routed, receive, send_without_body)
