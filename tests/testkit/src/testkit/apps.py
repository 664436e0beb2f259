"""Running an ASGI app on a free port inside the test's own event loop."""

import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn

from shared.server_protocols.problems import ProblemHttp
from testkit.waiting import PATIENCE_S


@asynccontextmanager
async def serve(app: Any, *, shutdown_timeout: int = 3, **uvicorn_settings: Any) -> AsyncIterator[str]:
    """Serve `app` by a real uvicorn server with its lifespan; yields a base URL like `http://127.0.0.1:40123`.

    `uvicorn_settings` are more of `uvicorn.Config`'s, say `ws=…`. HTTP is served by the services' protocol class.

    It runs in the calling loop, so that the test shares exporters, clocks and fakes with the app, and it
    installs no signal handlers. Raises `RuntimeError` when the app's start-up fails.
    """
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=shutdown_timeout,
            **{"http": ProblemHttp} | uvicorn_settings,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        try:
            await server.startup(sockets=[listener])
        except SystemExit as stopped:
            raise RuntimeError(f"{app!r} failed to start; its lifespan logged why") from stopped
        await server.on_tick(0)  # the default headers, which the main loop would set once a second
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await server.shutdown(sockets=[listener])


@asynccontextmanager
async def http_client(
    base_url: str, *, token: str | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client for `base_url`, sending `token` as a bearer token where given; as patient as tests are."""
    merged = dict(headers or {})
    if token is not None:
        merged["Authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(base_url=base_url, headers=merged, timeout=PATIENCE_S) as client:
        yield client


_held: list[socket.socket] = []


def free_port() -> int:
    """A port of the loopback address, for a server that is started later or for nobody to listen on.

    On Linux nobody who lets the system choose is given it until this process ends: it stays bound, which servers that
    reuse addresses do not mind, as all do. Elsewhere it was free a moment ago.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    if sys.platform == "linux":
        _held.append(holder)
    else:
        holder.close()
    return port
