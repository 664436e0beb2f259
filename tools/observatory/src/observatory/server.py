"""Runs the whole program: five HTTP ports and one SMTP port in one event loop."""

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

from observatory import jaeger, logql, loki, mailpit, otlp, prometheus, promql
from observatory.jaeger import JaegerApi, RequestError
from observatory.listeners import listen
from observatory.logs import LogStore
from observatory.loki import LokiApi, QueryTimeoutError
from observatory.mail_search import UnsupportedSearchError
from observatory.mailbox import Mailbox
from observatory.mailpit import BadRequestError, MailpitApi
from observatory.metric_page import MetricPage
from observatory.metrics import MetricLimits, MetricStore
from observatory.otlp import OtlpReceiver
from observatory.otlp_body import RejectedError
from observatory.otlp_metrics import MetricReader
from observatory.page_data import PageData
from observatory.pages import mail_pages, metric_pages, trace_pages
from observatory.prometheus import PrometheusApi
from observatory.settings import InvalidSettingError, Settings
from observatory.smtp import smtp_server
from observatory.trace_search import InvalidQueryError
from observatory.traces import TraceStore
from shared.server.protocols.http import BoundedHttpProtocol

_GRACE_SECONDS = 2
_log = logging.getLogger("observatory")


class PortDispatcher:
    """An ASGI application that passes each request to the application of its port."""

    def __init__(self, apps: Mapping[int, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the application of the port on which the connection was accepted."""
        await self._apps[scope["server"][1]](scope, receive, send)


class Observatory:
    """The stores, and the applications that write and read them."""

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        self._settings = settings
        self._traces = TraceStore(max_traces=limits.traces, max_spans=limits.spans, max_bytes=limits.span_bytes)
        self._logs = LogStore(max_records=limits.logs, max_bytes=limits.log_bytes)
        self._mailbox = Mailbox(max_mails=limits.mails, max_bytes=limits.mail_bytes)
        self._metric_limits = MetricLimits(
            series=limits.metric_series,
            rows=limits.metric_points,
            seconds=60.0 * limits.metric_minutes,
            total_bytes=limits.metric_bytes,
        )
        self._metrics = MetricStore(self._metric_limits)
        self._reader = MetricReader(self._metrics)
        self._receiver = OtlpReceiver(
            traces=self._traces, logs=self._logs, metrics=self._reader, max_request_bytes=limits.request_bytes
        )

    def app(self) -> ASGIApp:
        """Return the application for the five HTTP ports."""
        ports = self._settings.ports
        page_data = PageData(traces=self._traces, logs=self._logs, mailbox=self._mailbox, contents=self._usage)
        apps = {
            ports.otlp: Starlette(routes=self._receiver.routes(), exception_handlers={RejectedError: otlp.reject}),
            ports.jaeger: Starlette(
                routes=[*JaegerApi(traces=self._traces).routes(), *page_data.routes(), *trace_pages()],
                exception_handlers={RequestError: jaeger.reject, InvalidQueryError: jaeger.reject},
            ),
            ports.loki: Starlette(
                routes=LokiApi(logs=self._logs).routes(),
                exception_handlers={
                    loki.InvalidParameterError: loki.reject,
                    logql.UnsupportedError: loki.reject,
                    QueryTimeoutError: loki.reject_timeout,
                },
            ),
            ports.prometheus: Starlette(
                routes=[
                    *PrometheusApi(metrics=self._metrics).routes(),
                    *MetricPage(metrics=self._metrics, reader=self._reader, limits=self._metric_limits).routes(),
                    *metric_pages(),
                ],
                exception_handlers={
                    prometheus.InvalidParameterError: prometheus.reject,
                    promql.UnsupportedError: prometheus.reject,
                },
            ),
            ports.mailpit: Starlette(
                routes=[*MailpitApi(mailbox=self._mailbox).routes(), *mail_pages()],
                exception_handlers={BadRequestError: mailpit.reject, UnsupportedSearchError: mailpit.reject},
            ),
        }
        for app in apps.values():
            app.router.redirect_slashes = False  # the redirect would contain the client's Host header
        return PortDispatcher(apps)

    async def serve(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises OSError with the port if a port is in use."""
        settings, ports = self._settings, self._settings.ports
        config = uvicorn.Config(
            self.app(),
            lifespan="off",
            access_log=False,
            log_config=None,
            http=BoundedHttpProtocol,
            ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        http = (ports.otlp, ports.jaeger, ports.loki, ports.prometheus, ports.mailpit)
        listeners = [listen(settings.host, port) for port in http]
        mail_listener = listen(settings.host, ports.smtp)
        async with smtp_server(mail_listener, self._mailbox, max_bytes=settings.limits.message_bytes):
            _log.info("listening on %s: %s", settings.host, asdict(ports))
            await _serve_until_stopped(uvicorn.Server(config), listeners)

    def _usage(self) -> dict[str, Any]:
        return {
            "traces": len(self._traces),
            "spans": self._traces.span_count,
            "logs": len(self._logs),
            "mails": len(self._mailbox),
            "series": len(self._metrics),
            "metric_points": self._metrics.point_count,
            "limits": asdict(self._settings.limits),
        }


def main() -> None:
    """Read the settings and serve. On an error, print one line and exit with 1."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    _log.setLevel(logging.INFO)
    try:
        asyncio.run(Observatory(Settings.from_environment(os.environ)).serve())
    except (InvalidSettingError, OSError) as error:
        sys.exit(f"observatory: {error}")


async def _serve_until_stopped(server: uvicorn.Server, listeners: list[socket.socket]) -> None:
    """Serve until a signal.

    uvicorn re-raises the captured signal after `serve`. The handler of the event loop receives it, so it does not
    interrupt the cleanup.
    """

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await server.serve(sockets=listeners)
