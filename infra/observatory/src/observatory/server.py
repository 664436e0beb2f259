"""The composition root: four HTTP ports and one SMTP port in one event loop."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from observatory import jaeger, loki, mailpit, otlp
from observatory.jaeger import JaegerApi, NotAnsweredError
from observatory.listeners import listen
from observatory.logql import UnsupportedError
from observatory.logs import LogStore
from observatory.loki import InvalidParameterError, LokiApi, QueryTimeoutError
from observatory.mail_search import UnsupportedSearchError
from observatory.mailbox import Mailbox
from observatory.mailpit import BadRequestError, MailpitApi
from observatory.otlp import OtlpReceiver
from observatory.otlp_body import RefusedError
from observatory.page_data import PageData
from observatory.pages import mail_pages, trace_pages
from observatory.settings import InvalidSettingError, Settings
from observatory.smtp import smtp_server
from observatory.trace_search import InvalidQueryError
from observatory.traces import TraceStore
from shared.server_protocols.http import BoundedHttp

_GRACE_SECONDS = 2
_log = logging.getLogger("observatory")


class ByPort:
    """One ASGI application that passes each request to the application of the port it came to."""

    def __init__(self, apps: Mapping[int, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on; the server knows the port of the socket it accepted the connection on."""
        await self._apps[scope["server"][1]](scope, receive, send)


class Observatory:
    """The stores and the applications that fill and read them."""

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        self._settings = settings
        self._traces = TraceStore(max_traces=limits.traces, max_spans=limits.spans, max_bytes=limits.span_bytes)
        self._logs = LogStore(max_records=limits.logs, max_bytes=limits.log_bytes)
        self._mailbox = Mailbox(max_mails=limits.mails, max_bytes=limits.mail_bytes)
        self._receiver = OtlpReceiver(traces=self._traces, logs=self._logs, max_request_bytes=limits.request_bytes)

    def app(self) -> ASGIApp:
        """Return what answers on the four HTTP ports."""
        ports = self._settings.ports
        page_data = PageData(traces=self._traces, logs=self._logs, mailbox=self._mailbox, contents=self._contents)
        apps = {
            ports.otlp: Starlette(routes=self._receiver.routes(), exception_handlers={RefusedError: otlp.refuse}),
            ports.jaeger: Starlette(
                routes=[*JaegerApi(traces=self._traces).routes(), *page_data.routes(), *trace_pages()],
                exception_handlers={NotAnsweredError: jaeger.refuse, InvalidQueryError: jaeger.refuse},
            ),
            ports.loki: Starlette(
                routes=LokiApi(logs=self._logs).routes(),
                exception_handlers={
                    InvalidParameterError: loki.refuse,
                    UnsupportedError: loki.refuse,
                    QueryTimeoutError: loki.refuse_timeout,
                },
            ),
            ports.mailpit: Starlette(
                routes=[*MailpitApi(mailbox=self._mailbox).routes(), *mail_pages()],
                exception_handlers={BadRequestError: mailpit.refuse, UnsupportedSearchError: mailpit.refuse},
            ),
        }
        for app in apps.values():
            app.router.redirect_slashes = False  # the Location would have the host of the client's Host header
        return ByPort(apps)

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT; raises OSError, naming the port, when one is taken."""
        settings, ports = self._settings, self._settings.ports
        config = uvicorn.Config(
            self.app(),
            lifespan="off",
            access_log=False,
            log_config=None,
            http=BoundedHttp,
            ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        listeners = [listen(settings.host, port) for port in (ports.otlp, ports.jaeger, ports.loki, ports.mailpit)]
        mail_listener = listen(settings.host, ports.smtp)
        async with smtp_server(mail_listener, self._mailbox, max_bytes=settings.limits.message_bytes):
            _log.info("listening on %s: %s", settings.host, asdict(ports))
            await _serve_until_stopped(uvicorn.Server(config), listeners)

    def _contents(self) -> dict[str, Any]:
        return {
            "traces": len(self._traces),
            "spans": self._traces.span_count,
            "logs": len(self._logs),
            "mails": len(self._mailbox),
            "metric_points_counted": self._receiver.metric_points,
            "limits": asdict(self._settings.limits),
        }


def main() -> None:
    """Read the settings and serve; exits 1 with one clear line when that is impossible."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    _log.setLevel(logging.INFO)
    try:
        asyncio.run(Observatory(Settings.from_environment(os.environ)).serve())
    except (InvalidSettingError, OSError) as error:
        sys.exit(f"observatory: {error}")


async def _serve_until_stopped(server: uvicorn.Server, listeners: list[socket.socket]) -> None:
    """Serve until a signal; uvicorn raises it again when it is done, which must not kill what is left to do."""

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve(sockets=listeners)
