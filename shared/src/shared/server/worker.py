"""The gunicorn worker: uvicorn on uvloop and httptools, with a drain before sockets are closed.

On SIGTERM uvicorn would close every WebSocket at once and run the lifespan's shutdown after. Here readiness fails
first, and the application's own drains run while it still answers requests.
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

from shared.health import Health

log = structlog.get_logger(__name__)

ACCEPTED_S = 1.0
"""After a process has stopped accepting connections, the time in which accepted ones may send their request."""


class DrainingServer(Server):
    """A uvicorn server that drains `app.state.health` before it shuts down, and does not outlive its master."""

    def __init__(self, config: Config, *, master: int) -> None:
        super().__init__(config)
        self._master = master
        self._orphaned = False

    async def on_tick(self, counter: int) -> bool:
        """Check the master ten times a second.

        If it was killed, its successor needs our port at once: stop listening, finish requests in flight, exit.
        """
        if os.getppid() != self._master:
            log.warning("master_is_gone", pid=self._master)
            self._orphaned = self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, stop accepting, then close the connections and run the lifespan's shutdown."""
        state = self.config.app.state  # type: ignore[union-attr]  # always one of our FastAPI applications
        health: Health = state.health
        if not (self.force_exit or self._orphaned):
            await health.drain(grace_s=state.settings.drain_seconds)
            for server in self.servers:
                server.close()
            await self._serve_accepted()
        await super().shutdown(sockets=sockets)

    async def _serve_accepted(self) -> None:
        """Wait for the requests of connections that were accepted last; uvicorn would close them as idle.

        Every response says `Connection: close` by now, so only connections without a request are left at the end.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(ACCEPTED_S):
                while self.server_state.connections:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.02)


class DrainingWorker(UvicornWorker):  # type: ignore[misc]  # gunicorn is untyped
    """Gunicorn worker class of every service: `shared.worker.DrainingWorker`."""

    CONFIG_KWARGS: dict[str, Any] = {  # noqa: RUF012 - the base class's own shape
        "http": "shared.server_protocols.problems:ProblemHttp",
        "ws": "shared.server_protocols.websocket:BoundedWebSocket",
        "ws_max_size": 64 * 1024,
        "ws_per_message_deflate": False,  # 43 KiB per socket, for frames of half a KiB
        "ws_ping_interval": None,  # the applications ping in their own frames, and learn more from the response
        "server_header": False,
        "access_log": False,  # shared.middleware writes the access log record, with the trace id
        "timeout_graceful_shutdown": 10,
    }

    def run(self) -> None:
        """Serve until the process is told to stop, on uvloop; exits with WORKER_BOOT_ERROR if the start fails.

        `run` is gunicorn's extension point for worker classes.
        """
        self.config.app = self.wsgi
        self.config.proxy_headers = bool(self.cfg.forwarded_allow_ips)  # no trusted proxy: nothing to look for
        # The master may have been killed since the fork, so os.getppid() can be another process already.
        server = DrainingServer(self.config, master=self.ppid)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            # By SIGQUIT the master stops its workers on SIGINT; uvicorn itself handles SIGTERM and SIGINT only.
            runner.get_loop().add_signal_handler(signal.SIGQUIT, server.handle_exit, signal.SIGQUIT, None)
            runner.run(server.serve(sockets=self.sockets))
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
