"""A customer of the public API."""

import asyncio
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx

from console.failures import FailedError, NobodyThereError

_READY_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class Placed:
    """An accepted order, and the trace its request began."""

    order: Mapping[str, Any]
    trace_id: str


class Shop:
    """Calls the gateway; every call raises FailedError, naming what was asked, when it is not answered well."""

    def __init__(self, *, gateway: str, client: httpx.AsyncClient) -> None:
        self._gateway = gateway
        self._client = client
        self._token = ""

    async def until_ready(self, *, within_s: float) -> str:
        """Return the gateway's own word, ready or degraded, waiting at most `within_s` seconds for ready."""
        give_up_at = time.monotonic() + within_s
        while True:
            answer = await self._readiness()
            word = str(answer.json()["status"]) if answer.is_success else ""
            if word == "ready" or time.monotonic() > give_up_at:
                break
            await asyncio.sleep(_READY_PAUSE_S)
        if not word:
            raise FailedError(f"the stack is not ready ({_unready(answer)}): see make status and make logs")
        return word

    async def _readiness(self) -> httpx.Response:
        try:
            return await self._client.get(f"{self._gateway}/health/ready")
        except httpx.TransportError as error:
            raise self._nobody() from error

    async def register(self, *, email: str, password: str, name: str) -> Mapping[str, Any]:
        """Create an account."""
        user = {"email": email, "password": password, "name": name}
        account: Mapping[str, Any] = _read(await self._send("POST", "/v2/users", json=user))
        return account

    async def sign_in(self, *, email: str, password: str) -> None:
        """Get a token, which every later call carries."""
        form = {"grant_type": "password", "username": email, "password": password}
        self._token = _read(await self._send("POST", "/v2/tokens", data=form))["access_token"]

    async def available_products(self) -> list[Mapping[str, Any]]:
        """Return the first products that are in stock."""
        products = _read(await self._send("GET", "/v2/products", params={"limit": 50}))["items"]
        return [product for product in products if product["available"] > 0]

    async def socket_ticket(self) -> Mapping[str, Any]:
        """Return `{ticket, expires_in, url}` for one WebSocket."""
        ticket: Mapping[str, Any] = _read(await self._send("POST", "/v2/ws-tickets"))
        return ticket

    async def place_order(self, items: list[dict[str, Any]]) -> Placed:
        """Order; the gateway starts the trace and names it in `traceresponse`."""
        answer = await self._order(items)
        return Placed(_read(answer), _trace_id(answer))

    async def try_order(self, items: list[dict[str, Any]]) -> tuple[int, str]:
        """Order, however that ends: the answer's status and its trace."""
        answer = await self._order(items)
        return answer.status_code, _trace_id(answer)

    async def _order(self, items: list[dict[str, Any]]) -> httpx.Response:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return await self._send("POST", "/v2/orders", json={"items": items}, headers=headers)

    async def ask(self, method: str, path: str, **request: Any) -> Any:
        """Make any other call; its JSON, or None where the answer has none."""
        answer = await self._send(method, path, **request)
        return None if answer.is_success and not answer.content else _read(answer)

    async def request_report(self, *, first: date, last: date) -> Mapping[str, Any]:
        """Ask for a report, as CSV, on what was ordered from `first` until `last`, days of UTC."""
        wanted = {"kind": "orders", "format": "csv", "from": str(first), "to": str(last)}
        report: Mapping[str, Any] = _read(await self._send("POST", "/v2/reports", json=wanted))
        return report

    async def download(self, url: str) -> tuple[str, bytes]:
        """Return a file's name, "" where it has none, and its content; `url` is a path below the gateway."""
        answer = await self._send("GET", url)
        if not answer.is_success:
            _read(answer)
        named = re.search(r'filename="([^"/\\]+)"', answer.headers.get("Content-Disposition", ""))
        return (named[1] if named else ""), answer.content

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = dict(request.pop("headers", {}))
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            return await self._client.request(method, self._gateway + path, headers=headers, **request)
        except httpx.ConnectError as error:
            raise self._nobody() from error
        except httpx.TransportError as error:
            raise FailedError(f"{method} {path} got no answer: {error or type(error).__name__}") from error

    def _nobody(self) -> NobodyThereError:
        return NobodyThereError(f"nothing answers at {self._gateway}: run make up")


def _read(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json()
    request = answer.request
    raise FailedError(f"{request.method} {request.url.path} answered {answer.status_code}: {_said(answer)}")


def _said(answer: httpx.Response) -> str:
    """Say in words what a problem says: each field that is wrong, or its detail; of any other answer its beginning."""
    try:
        problem = answer.json()
        wrong = [f"{error['field']}: {error['message']}" for error in problem.get("errors", ())]
        return "; ".join(wrong) or str(problem["detail"])
    except (ValueError, KeyError, AttributeError, TypeError):
        return answer.text[:300]


def _trace_id(answer: httpx.Response) -> str:
    try:
        _, trace_id, _, _ = answer.headers["traceresponse"].split("-")
    except (KeyError, ValueError):
        raise FailedError("POST /v2/orders answered without a readable traceresponse header") from None
    return str(trace_id)


def _unready(answer: httpx.Response) -> str:
    try:
        dependencies = answer.json()["dependencies"].items()
        down = [f"{name}: {state.get('error') or state['status']}" for name, state in dependencies if state["error"]]
    except (ValueError, KeyError, AttributeError, TypeError):
        down = []
    return "; ".join(down) or f"HTTP {answer.status_code}"
