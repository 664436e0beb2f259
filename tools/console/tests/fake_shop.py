"""A fake gateway, which also creates the spans, notifications and emails of the services behind it.

The tests in tests/e2e run the demo with the real services. This fake can also return wrong data.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from opentelemetry.trace import Span, SpanKind, set_span_in_context
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from testkit.observatory import CreateTelemetry, Observatory, Telemetry, span_id_of, trace_id_of

ORDER_ID = "0198b7f0-1111-7000-8000-000000000001"
SERVICES = ("gateway", "orders", "notifications", "workers", "users")
KINDS = ("order.placed", "order.packed", "order.shipped")

REPORT_ID = "0198b7f0-2222-7000-8000-000000000001"
REPORT_URL = f"/v2/reports/{REPORT_ID}/download"
REPORT = f"order_id,status\r\n{ORDER_ID},shipped\r\n"
REPORT_PUSHES: Sequence[tuple[str, dict[str, Any]]] = (
    ("report.progress", {"progress": 40}),
    ("report.progress", {"progress": 90}),
    ("report.ready", {"download_url": REPORT_URL, "size_bytes": len(REPORT)}),
)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """The behaviour of the shop, by default the correct one."""

    ready: bool = True
    is_hopline: bool = True
    available: int = 5
    kinds: Sequence[str] = KINDS
    numbers: Sequence[int] = (2, 3, 4)  # seq of the pushes about the order; the one about the registration has 1
    pushes_have_order_trace: bool = True
    sends_welcome: bool = True
    emails: int = 3
    report_pushes: Sequence[tuple[str, dict[str, Any]]] = REPORT_PUSHES
    report: str = REPORT
    services: Sequence[str] = SERVICES
    has_missing_parents: bool = False


class FakeShop:
    """One customer, one order, one socket. It rejects all rooms."""

    def __init__(self, behaviour: Behaviour, observatory: Observatory, create_telemetry: CreateTelemetry) -> None:
        self._behaviour = behaviour
        self._observatory = observatory
        self._telemetry: dict[str, Telemetry] = {name: create_telemetry(observatory, name) for name in SERVICES}
        self._frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._email = ""
        self._registration_received = asyncio.Event()
        self.url = ""

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/health/ready", self.ready),
                Route("/v2/users", self.register, methods=["POST"]),
                Route("/v2/tokens", self.token, methods=["POST"]),
                Route("/v2/products", self.products),
                Route("/v2/ws-tickets", self.ticket, methods=["POST"]),
                Route("/v2/orders", self.order, methods=["POST"]),
                Route("/v2/reports", self.request_report, methods=["POST"]),
                Route(REPORT_URL, self.download),
                WebSocketRoute("/ws", self.socket),
            ]
        )

    async def ready(self, _request: Request) -> Response:
        if not self._behaviour.is_hopline:
            return HTMLResponse("<h1>Another application</h1>")
        if self._behaviour.ready:
            return JSONResponse({"status": "ready", "dependencies": {}})
        down = {"status": "down", "latency_ms": None, "error": "connection refused"}
        return JSONResponse({"status": "not_ready", "dependencies": {"redis": down}}, 503)

    async def register(self, request: Request) -> Response:
        body = await request.json()
        self._email = body["email"]
        return JSONResponse({"id": "u-1", "email": self._email, "name": body["name"], "role": "customer"}, 201)

    async def token(self, _request: Request) -> Response:
        return JSONResponse({"access_token": "token", "token_type": "bearer", "expires_in": 900, "refresh_token": "r"})

    async def products(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer token"
        await self._registration_received.wait()  # so the order cannot precede it
        items = [
            {"sku": sku, "name": sku.title(), "available": self._behaviour.available} for sku in ("mug", "cup", "pot")
        ]
        return JSONResponse({"items": items, "next_cursor": None})

    async def ticket(self, _request: Request) -> Response:
        return JSONResponse({"ticket": "one", "expires_in": 30, "url": self.url.replace("http", "ws") + "/ws"})

    async def order(self, request: Request) -> Response:
        assert request.headers["idempotency-key"]
        body = await request.json()
        with self._telemetry["gateway"].tracer.start_as_current_span("POST /v2/orders", kind=SpanKind.SERVER) as root:
            for service in self._behaviour.services:
                if service != "gateway":
                    self._export_span(service, root)
        trace_id = trace_id_of(root) if self._behaviour.pushes_have_order_trace else "a" * 32
        for number, kind in zip(self._behaviour.numbers, self._behaviour.kinds, strict=True):
            self._push(number, kind, trace_id, order_id=ORDER_ID)
        for number in range(self._behaviour.emails):
            await asyncio.to_thread(self._send_email, number)
        placed = {"id": ORDER_ID, "user_id": "u-1", "status": "placed", "total_cents": 2_990, "currency": "EUR"}
        headers = {"traceresponse": f"00-{trace_id_of(root)}-{span_id_of(root)}-01"}
        return JSONResponse({**placed, "items": body["items"]}, 201, headers=headers)

    async def request_report(self, request: Request) -> Response:
        body = await request.json()
        assert body["kind"] == "orders"
        assert body["format"] == "csv"
        assert body["from"] < body["to"]
        for number, (kind, data) in enumerate(self._behaviour.report_pushes, start=self._behaviour.numbers[-1] + 1):
            self._push(number, kind, "b" * 32, report_id=REPORT_ID, **data)
        return JSONResponse({"id": REPORT_ID, "status": "queued"}, 202)

    async def download(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer token"
        headers = {"Content-Disposition": 'attachment; filename="orders.csv"'}
        return Response(self._behaviour.report, headers=headers, media_type="text/csv")

    async def socket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        hello = json.loads(await websocket.receive_text())
        assert hello == {"t": "hello", "v": 1, "ticket": "one", "cursor": 0}
        if not self._behaviour.sends_welcome:
            await websocket.close(4401)
            return
        await self._send(websocket, {"t": "welcome", "head": 1, "read_seq": 0, "recovered": True, "ping_s": 15})
        await self._send(websocket, {"t": "n", "seq": 1, "kind": "user.registered", "data": {}, "traceparent": None})
        await self._send(websocket, {"t": "ping", "head": 1, "read_seq": 0})
        pushing = asyncio.create_task(self._send_frames(websocket))
        with suppress(WebSocketDisconnect):
            while True:
                await self._receive(websocket, json.loads(await websocket.receive_text()))
        pushing.cancel()

    async def _receive(self, websocket: WebSocket, frame: dict[str, Any]) -> None:
        if frame["t"] == "join":
            rejected = {"t": "join_rejected", "room": frame["room"], "reason": "rooms_per_process"}
            await self._send(websocket, rejected)
        else:
            assert frame == {"t": "pong", "cursor": 1}
            self._registration_received.set()

    async def _send_frames(self, websocket: WebSocket) -> None:
        while True:
            await self._send(websocket, await self._frames.get())

    def _export_span(self, service: str, root: Span) -> None:
        span = self._telemetry[service].tracer.start_span(f"work in {service}", context=set_span_in_context(root))
        if self._behaviour.has_missing_parents:
            self._telemetry[service].tracer.start_span("of a lost parent", context=set_span_in_context(span)).end()
        else:
            span.end()

    def _push(self, number: int, kind: str, trace_id: str, **data: Any) -> None:
        frame = {"t": "n", "seq": number, "id": f"n-{number}", "kind": kind, "at": "2026-11-23T17:51:00Z"}
        parent = f"00-{trace_id}-{number:016x}-01"
        self._frames.put_nowait({**frame, "data": data, "traceparent": parent})

    def _send_email(self, number: int) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "shop@hopline.example", self._email, f"Email {number}"
        message.set_content("Thank you.")
        self._observatory.send_email(message)

    @staticmethod
    async def _send(websocket: WebSocket, frame: dict[str, Any]) -> None:
        await websocket.send_text(json.dumps(frame))
