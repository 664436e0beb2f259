"""Fake services with little overhead, and a receiver of telemetry: one process for all gateways under test.

`python -m bench.fakes` serves constant responses by path on PORT. Spans posted to `/v1/traces` are stored and
decoded only by `GET /spans`, after a measurement.
"""

import asyncio
import os
from collections import Counter
from typing import cast

import orjson
import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.load import HEAD_END, content_length

USER_ID = "0198b7f0-0000-7000-8000-000000000001"
ORDER_ID = "0198b7f0-0000-7000-8000-000000000100"


UNIT_PRICE_CENTS = 1290
QUANTITIES = (1, 2, 3)
"""Quantities of the three items of each order."""


def _order(number: int) -> dict[str, object]:
    items = [
        {"sku": f"mug-{number}-{quantity}", "name": "A mug", "quantity": quantity, "unit_price_cents": UNIT_PRICE_CENTS}
        for quantity in QUANTITIES
    ]
    return {
        "id": f"0198b7f0-0000-7000-8000-00000000010{number}",
        "user_id": USER_ID,
        "status": "shipped",
        "items": items,
        "total_cents": sum(QUANTITIES) * UNIT_PRICE_CENTS,
        "currency": "EUR",
        "created_at": "2026-11-20T10:00:00Z",
    }


def _notification(seq: int) -> dict[str, object]:
    return {
        "seq": seq,
        "id": f"0198b7f0-0000-7000-8000-00000000020{seq}",
        "kind": "order.shipped",
        "data": {"order_id": f"0198b7f0-0000-7000-8000-00000000010{seq}"},
        "created_at": "2026-11-20T10:00:02Z",
    }


RESPONSES = {
    "/users/me": {
        "id": USER_ID,
        "email": "ann@hopline.example",
        "name": "Ann",
        "role": "customer",
        "created_at": "2026-11-01T08:00:00Z",
    },
    "/orders/recent": [_order(number) for number in range(5)],
    "/notifications/summary": {"unread": 2, "latest": [_notification(seq) for seq in range(5, 0, -1)]},
    f"/internal/orders/{ORDER_ID}/ship": {},
    "/health/ready": {"status": "ready", "dependencies": {}},
}
"""The services' responses for a customer's dashboard (five orders of three items, five notifications, 3 KB in total),
and the response to the worker that ships an order."""


class Receiver:
    """Stores exported spans, and decodes them only when they are counted."""

    def __init__(self) -> None:
        self._undecoded: list[bytes] = []
        self._spans: Counter[str] = Counter()

    def store(self, path: str, body: bytes) -> None:
        """Store one export of spans; ignore exports of other signals."""
        if path == "/v1/traces":
            self._undecoded.append(body)

    def count_spans(self) -> dict[str, int]:
        """Return the number of received spans by service."""
        for body in self._undecoded:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                [service] = [
                    attribute.value.string_value
                    for attribute in resource.resource.attributes
                    if attribute.key == "service.name"
                ]
                self._spans[service] += sum(len(scope.spans) for scope in resource.scope_spans)
        self._undecoded.clear()
        return dict(self._spans)


class _HttpProtocol(asyncio.Protocol):
    """The subset of HTTP/1.1 that the programs under test use: they send no chunked bodies."""

    def __init__(self, *, responses: dict[str, bytes], receiver: Receiver) -> None:
        self._responses = responses
        self._receiver = receiver
        self._received = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is not a subclass

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head_end := self._received.find(HEAD_END)) >= 0:
            head = bytes(self._received[:head_end])
            body_start = head_end + len(HEAD_END)
            end = body_start + content_length(head)
            if len(self._received) < end:
                return
            body = bytes(self._received[body_start:end])
            del self._received[:end]
            target = head.split(b" ", 2)[1]
            self._respond(target.partition(b"?")[0].decode(), body)

    def _respond(self, path: str, body: bytes) -> None:
        if path.startswith("/v1/"):
            self._receiver.store(path, body)
            self._transport.write(_response(b"{}"))
        elif path == "/spans":
            self._transport.write(_response(orjson.dumps(self._receiver.count_spans())))
        elif path in self._responses:
            self._transport.write(self._responses[path])
        else:
            self._transport.write(_response(b"{}", status=b"404 Not Found"))


def _response(body: bytes, *, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def main() -> None:
    """Serve until the process is terminated.

    The variables JWKS and SERVICE_TOKEN contain the published key set and the access token for workers.
    """
    responses = {path: _response(orjson.dumps(body)) for path, body in RESPONSES.items()}
    responses["/.well-known/jwks.json"] = _response(os.environ.get("JWKS", '{"keys":[]}').encode())
    granted = {"access_token": os.environ.get("SERVICE_TOKEN", "none"), "token_type": "Bearer", "expires_in": 3600}
    responses["/internal/tokens"] = _response(orjson.dumps(granted))
    receiver = Receiver()
    server = await asyncio.get_running_loop().create_server(
        lambda: _HttpProtocol(responses=responses, receiver=receiver), "127.0.0.1", int(os.environ["PORT"])
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
