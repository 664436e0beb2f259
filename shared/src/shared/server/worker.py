"""The gunicorn worker: uvicorn on uvloop and httptools, with a drain before sockets are closed.

On SIGTERM uvicorn alone would close every WebSocket and run the shutdown of the lifespan. The drain comes before that:
readiness fails, and the drain callbacks run while the application still serves requests.
"""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

import structlog
import uvloop
from gunicorn.arbiter import Arbiter
from uvicorn.config import Config
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from shared.web.health import Health

log = structlog.get_logger(__name__)

FIRST_REQUEST_TIMEOUT_S = 1.0
"""Time in which accepted connections can send their request after the process stopped accepting new ones."""


class DrainingServer(Server):
    """A uvicorn server that drains `app.state.health` before it shuts down, and stops if its master has ended."""

    def __init__(self, config: Config, *, master: int) -> None:
        super().__init__(config)
        self._master = master
        self._orphaned = False

    async def on_tick(self, counter: int) -> bool:
        """Check ten times a second whether the master exists.

        If the master was killed, its successor needs the port. So this worker stops listening, finishes its requests
        and exits.
        """
        if os.getppid() != self._master:
            log.warning("master_is_gone", pid=self._master)
            self._orphaned = self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, stop accepting, then close the connections and run the lifespan's shutdown."""
        state = self.config.app.state  # type: ignore[union-attr]  # always a FastAPI application
        health: Health = state.health
        if not (self.force_exit or self._orphaned):
            await health.drain(grace_s=state.settings.drain_seconds)
            for server in self.servers:
                server.close()
            await self._serve_accepted()
        await super().shutdown(sockets=sockets)

    async def _serve_accepted(self) -> None:
        """Wait for requests on recently accepted connections, which uvicorn would close as idle.

        Every response has `Connection: close` now, so a connection that remains waits for its request or its response.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_REQUEST_TIMEOUT_S):
                while self.server_state.connections:  # noqa: ASYNC110 - uvicorn provides no event
                    await asyncio.sleep(0.02)


class DrainingWorker(UvicornWorker):  # type: ignore[misc]  # gunicorn is untyped
    """Gunicorn worker class of every service: `shared.server.worker.DrainingWorker`."""

    CONFIG_KWARGS: dict[str, Any] = {  # noqa: RUF012 - declared by the base class
        "http": "shared.server.protocols.problems:ProblemHttpProtocol",
        "ws": "shared.server.protocols.websocket:BoundedWebSocketProtocol",
        "ws_max_size": 64 * 1024,
        "ws_per_message_deflate": False,  # compression would take 43 KiB per socket, for frames of half a KiB
        "ws_ping_interval": None,  # the applications ping in their own frames
        "server_header": False,
        "access_log": False,  # shared.web.middleware writes the access log record, with the trace id
        "timeout_graceful_shutdown": 10,
    }

    def run(self) -> None:
        """Serve on uvloop until the process is stopped; exit with WORKER_BOOT_ERROR if the start fails.

        `run` is gunicorn's extension point for worker classes.
        """
        self.config.app = self.wsgi
        # Without trusted proxies the headers are not used.
        self.config.proxy_headers = bool(self.cfg.forwarded_allow_ips)
        # os.getppid() could already be another process, because the master may have been killed since the fork.
        server = DrainingServer(self.config, master=self.ppid)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            # The master stops its workers with SIGQUIT if it gets SIGINT; uvicorn handles only SIGTERM and SIGINT.
            runner.get_loop().add_signal_handler(signal.SIGQUIT, server.handle_exit, signal.SIGQUIT, None)
            runner.run(server.serve(sockets=self.sockets))
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
