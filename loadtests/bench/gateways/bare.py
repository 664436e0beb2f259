"""The dashboard with nothing but what it takes: an ASGI function and aiohttp. No framework, token, log or trace.

What is left is three calls over kept-alive connections and the bytes put together: what any gateway in this language
has to do, on the server that ours runs on.
"""

import asyncio
import os
from collections.abc import Callable

import aiohttp
from starlette.types import ASGIApp, Receive, Scope, Send
from yarl import URL

PARTS = ("/users/me", "/orders/recent?limit=5", "/notifications/summary?latest=5")


def create_app() -> ASGIApp:
    """The application; UPSTREAM_URL says who answers for all three services."""
    urls = [URL(os.environ["UPSTREAM_URL"] + part, encoded=True) for part in PARTS]
    opened: list[aiohttp.ClientSession] = []

    async def part(url: URL, authorization: str) -> bytes:
        async with opened[0].get(url, headers={"Authorization": authorization}) as response:
            return await response.read()

    async def dashboard(scope: Scope, _receive: Receive, send: Send) -> None:
        authorization = dict(scope["headers"])[b"authorization"].decode()
        user, orders, notifications = await asyncio.gather(*(part(url, authorization) for url in urls))
        body = b'{"user":%b,"recent_orders":%b,"notifications":%b,"degraded":[]}' % (user, orders, notifications)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await dashboard(scope, receive, send)
        else:
            await _live(receive, send, opened.append)

    return app


async def _live(receive: Receive, send: Send, use: Callable[[aiohttp.ClientSession], None]) -> None:
    await receive()
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=300), auto_decompress=False)
    use(session)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await session.close()
    await send({"type": "lifespan.shutdown.complete"})
