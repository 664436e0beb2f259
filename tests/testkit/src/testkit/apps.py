"""ASGI applications on free ports, in the event loop of the test."""

import asyncio
import atexit
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import uvicorn

from shared.server.protocols.problems import ProblemHttpProtocol
from testkit.waiting import TIMEOUT_S

TLS = httpx.create_ssl_context()
"""The TLS settings of all clients. To load the trusted certificates takes 20 ms, which each client would do again."""

KEEP_ALIVE_S = 75
"""The `keepalive` of `shared.server.gunicorn`.

uvicorn's default is 5 s, which is also the time after which httpx closes an idle connection. With that default, the
server could close a connection while the client sends the next request on it.
"""


@asynccontextmanager
async def serve(app: Any, *, shutdown_timeout: int = 3, **uvicorn_settings: Any) -> AsyncIterator[str]:
    """Serve `app` with a real uvicorn server, and yield the base URL, such as `http://127.0.0.1:40123`.

    The server runs the lifespan of `app`. It uses the HTTP protocol class of the services, and no signal handlers. It
    runs in the event loop of the caller, so that the test shares exporters, clocks and fakes with the application.
    `uvicorn_settings` are additional arguments of `uvicorn.Config`, such as `ws=…`.

    Raises:
        RuntimeError: The start of the application failed.
    """
    options: dict[str, Any] = {"http": ProblemHttpProtocol, "timeout_keep_alive": KEEP_ALIVE_S} | uvicorn_settings
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=shutdown_timeout,
            **options,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        try:
            await server.startup(sockets=[listener])
        except SystemExit as stopped:
            raise RuntimeError(f"{app!r} failed to start; its lifespan logged why") from stopped
        await server.on_tick(0)  # sets the default response headers, as uvicorn's main loop does once a second
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await server.shutdown(sockets=[listener])


@asynccontextmanager
async def serve_all(apps: Sequence[Any]) -> AsyncIterator[list[str]]:
    """Serve all applications, and yield their base URLs.

    The servers stop concurrently, because each stop takes a tenth of a second.
    """
    urls: list[str] = []
    started: list[AbstractAsyncContextManager[str]] = []
    try:
        for app in apps:
            server = serve(app)
            urls.append(await server.__aenter__())
            started.append(server)
        yield urls
    finally:
        await asyncio.gather(*(server.__aexit__(None, None, None) for server in started))


@asynccontextmanager
async def http_client(
    base_url: str, *, token: str | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Open an HTTP client for `base_url` with the timeout of tests. A `token` is sent as bearer token."""
    merged = dict(headers or {})
    if token is not None:
        merged["Authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(base_url=base_url, headers=merged, timeout=TIMEOUT_S, verify=TLS) as client:
        yield client


def free_port() -> int:
    """Return a free port of the loopback address, for a server that starts later or for an address without a server.

    On Linux the port stays bound until this process ends, so that the system does not assign it to another process.
    Servers can still listen on it, because they set SO_REUSEADDR. On other systems another process can take it.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    if sys.platform == "linux":
        atexit.register(holder.close)
    else:
        holder.close()
    return port
