"""The dashboard with aiohttp as server and client: a fan-out without verification of tokens, logs and traces.

`python -m bench.gateways.bare` serves on PORT; UPSTREAM_URL is the address of all three services.
"""

import asyncio
import os
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from aiohttp import web

UPSTREAM_URL = os.environ.get("UPSTREAM_URL", "")
CLIENT = web.AppKey("client", aiohttp.ClientSession)


async def read_dashboard(request: web.Request) -> web.Response:
    """Call three services in parallel and concatenate their responses."""
    client, headers = request.app[CLIENT], {"Authorization": request.headers["Authorization"]}

    async def fetch(path: str) -> bytes:
        async with client.get(f"{UPSTREAM_URL}{path}", headers=headers) as response:
            return await response.read()

    user, orders, notifications = await asyncio.gather(
        fetch("/users/me"), fetch("/orders/recent?limit=5"), fetch("/notifications/summary?latest=5")
    )
    body = b'{"user":%b,"recent_orders":%b,"notifications":%b,"degraded":[]}' % (user, orders, notifications)
    return web.Response(body=body, content_type="application/json")


async def _open_client(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession() as client:
        app[CLIENT] = client
        yield


def main() -> None:
    """Serve until terminated."""
    uvloop.install()
    app = web.Application()
    app.cleanup_ctx.append(_open_client)
    app.router.add_get("/v2/dashboard", read_dashboard)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None, print=None)


if __name__ == "__main__":
    main()
