"""Requests of the API and how to read its responses, without input or output.

Each function returns a `Request`, whose `arguments()` fit `request()` of httpx, requests and Locust. `read` returns the
body of a response or raises `ProblemError`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Generic, Literal, Protocol, TypeVar, cast
from urllib.parse import quote
from uuid import uuid4

from hopline_client.models import (
    Dashboard,
    Fault,
    FeedState,
    Items,
    NotificationPage,
    Order,
    OrderSummary,
    Page,
    Product,
    Report,
    Ticket,
    Tokens,
    User,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_UNAVAILABLE = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
_MAX_TEXT = 300
"""Maximum number of characters that an error quotes from a body that is not a problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T_co]):
    """A request. The body of its successful response is a `T_co`.

    `route` is the path with names in place of ids, for statistics. A repeatable request has the same effect if it is
    sent again.
    """

    method: str
    path: str
    route: str = ""
    json: object = None
    form: Mapping[str, str] | None = None
    params: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = False

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `request()` of httpx, requests and Locust, apart from the headers."""
        arguments = {"json": self.json, "data": self.form, "params": self.params}
        return {"method": self.method, "url": self.path} | {name: value for name, value in arguments.items() if value}


def _get(path: str, route: str = "", **params: str | int | None) -> Request[Any]:
    given = {name: value for name, value in params.items() if value is not None}
    return Request(method="GET", path=path, route=route or path, params=given, is_repeatable=True)


def _post(path: str, json: object = None, route: str = "", *, is_repeatable: bool = False) -> Request[Any]:
    return Request(method="POST", path=path, route=route or path, json=json, is_repeatable=is_repeatable)


def register(*, email: str, password: str, name: str) -> Request[User]:
    """Create an account."""
    return _post("/v2/users", {"email": email, "password": password, "name": name})


def log_in(*, email: str, password: str) -> Request[Tokens]:
    """Request tokens for a password."""
    form = {"grant_type": "password", "username": email, "password": password}
    return Request(method="POST", path="/v2/tokens", route="/v2/tokens", form=form, is_repeatable=True)


def refresh(refresh_token: str) -> Request[Tokens]:
    """Exchange a refresh token for new tokens. It is not repeatable: a second use revokes all tokens of the login."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return Request(method="POST", path="/v2/tokens", route="/v2/tokens", form=form)


def get_user() -> Request[User]:
    """Read the account of the caller."""
    return _get("/v2/users/me")


def list_products(*, limit: int | None = None, cursor: str | None = None) -> Request[Page[Product]]:
    """List products."""
    return _get("/v2/products", limit=limit, cursor=cursor)


def get_product(sku: str) -> Request[Product]:
    """Read one product."""
    return _get(f"/v2/products/{quote(sku, safe='')}", "/v2/products/{sku}")


def place_order(*items: tuple[str, int], key: str | None = None) -> Request[Order]:
    """Order `(sku, quantity)` pairs. Without `key` the request gets a new idempotency key."""
    return Request(
        method="POST",
        path="/v2/orders",
        route="/v2/orders",
        json={"items": [{"sku": sku, "quantity": quantity} for sku, quantity in items]},
        headers={"Idempotency-Key": key or uuid4().hex},
        is_repeatable=True,
    )


def list_orders(
    *, limit: int | None = None, cursor: str | None = None, status: str | None = None
) -> Request[Page[Order]]:
    """List the orders of the caller, newest first."""
    return _get("/v2/orders", limit=limit, cursor=cursor, status=status)


def get_order(order_id: str) -> Request[Order]:
    """Read one order."""
    return _get(f"/v2/orders/{quote(order_id, safe='')}", "/v2/orders/{order_id}")


def get_summary(order_id: str) -> Request[OrderSummary]:
    """Read one order with its user and its notifications."""
    return _get(f"/v2/orders/{quote(order_id, safe='')}/summary", "/v2/orders/{order_id}/summary")


def cancel_order(order_id: str) -> Request[Order]:
    """Cancel an order. It is not repeatable: the second response is a 409."""
    return _post(f"/v2/orders/{quote(order_id, safe='')}/cancel", route="/v2/orders/{order_id}/cancel")


def get_dashboard() -> Request[Dashboard]:
    """Read the account, its latest orders and its latest notifications with one request."""
    return _get("/v2/dashboard")


def list_notifications(*, after_seq: int = 0, limit: int | None = None) -> Request[NotificationPage]:
    """List notifications after a position of the feed, in ascending order."""
    return _get("/v2/notifications", after_seq=after_seq, limit=limit)


def mark_read(up_to: int) -> Request[FeedState]:
    """Mark all notifications up to and including `up_to` as read."""
    return _post("/v2/notifications/read", {"up_to": up_to}, is_repeatable=True)


def create_ticket() -> Request[Ticket]:
    """Request a ticket for one WebSocket."""
    return _post("/v2/ws-tickets", is_repeatable=True)


def request_report(*, first: date, last: date, file_format: Literal["csv", "pdf"] = "csv") -> Request[Report]:
    """Request a report on the orders from `first` to `last`, days of UTC."""
    return _post("/v2/reports", {"kind": "orders", "format": file_format, "from": str(first), "to": str(last)})


def get_report(report_id: str) -> Request[Report]:
    """Read the state of a report."""
    return _get(f"/v2/reports/{quote(report_id, safe='')}", "/v2/reports/{report_id}")


def download_report(url: str) -> Request[bytes]:
    """Read the file of a report; `url` is its `download_url`, a path of the gateway."""
    return _get(url, "/v2/reports/{report_id}/download")


def list_faults() -> Request[Items[Fault]]:
    """List the injected faults. Only for admins, and only in development."""
    return _get("/v2/faults")


def inject_fault(*, kind: str, **fault: str | int) -> Request[Fault]:
    """Inject a fault: `target`, and `source`, `value`, `times`, `at` and `for_seconds` if they are given."""
    return _post("/v2/faults", {"kind": kind, **fault}, is_repeatable=True)


def remove_faults(**between: str) -> Request[None]:
    """Remove the faults, or only those with the given `source` and `target`."""
    return Request(method="DELETE", path="/v2/faults", route="/v2/faults", params=between, is_repeatable=True)


class Response(Protocol):
    """The part of a response that httpx and requests have in common."""

    @property
    def status_code(self) -> int: ...  # noqa: D102
    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def content(self) -> bytes: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102
    def json(self) -> Any: ...  # noqa: D102


class ProblemError(Exception):
    """An error response. `errors` are the invalid fields with their messages; `slug` is the last part of `type`.

    `retry_after_s` is the delay that the server requests, in seconds, or None. A response without a problem has the
    beginning of its body as `detail`.
    """

    def __init__(self, request: Request[object], response: Response) -> None:
        problem = _parse_problem(response)
        self.status = response.status_code
        self.slug = str(problem.get("type") or "").rpartition("/")[2]
        self.title = str(problem.get("title") or "")
        self.detail = str(problem.get("detail") or (response.text[:_MAX_TEXT] if not problem else ""))
        self.errors = dict(_parse_field_errors(problem.get("errors")))
        self.trace_id = str(problem.get("trace_id") or trace_id(response) or "")
        self.retry_after_s = retry_after_s(response)
        invalid_fields = "; ".join(f"{name}: {message}" for name, message in self.errors.items())
        reason = invalid_fields or self.detail or self.title
        super().__init__(f"{request.method} {request.path} got {self.status}: {reason}")


def read(request: Request[T], response: Response) -> T:
    """Return the body of a successful response: its JSON, None if it is empty. Raises ProblemError otherwise."""
    if not is_success(response):
        raise ProblemError(request, response)
    try:
        return cast("T", response.json() if response.content else None)
    except ValueError as error:
        raise ProblemError(request, response) from error


def is_success(response: Response) -> bool:
    """Return whether the status is 2xx."""
    return HTTPStatus.OK <= response.status_code < HTTPStatus.MULTIPLE_CHOICES


def is_retryable(request: Request[object], response: Response) -> bool:
    """Return whether the same request may succeed later and sending it again cannot repeat an effect."""
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    may_succeed_later = response.status_code in _UNAVAILABLE or is_in_flight(response)
    return may_succeed_later and request.is_repeatable


def is_in_flight(response: Response) -> bool:
    """Return whether an earlier request with the same idempotency key has not ended yet."""
    if response.status_code != HTTPStatus.CONFLICT:
        return False
    return str(_parse_problem(response).get("type", "")).endswith("/idempotency-key-in-flight")


def retry_after_s(response: Response) -> float | None:
    """Return the Retry-After header in seconds (RFC 9110 §10.2.3), None if it is missing or malformed."""
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def trace_id(response: Response) -> str | None:
    """Return the id of the response's trace, None if the response has no `traceresponse`."""
    return trace_id_of(response.headers.get("traceresponse"))


def trace_id_of(traceparent: object) -> str | None:
    """Return the trace id of a `traceparent` or `traceresponse` (W3C Trace Context), None if it is malformed."""
    found = re.fullmatch(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", str(traceparent))
    return found[1] if found else None


def filename(response: Response) -> str:
    """Return the file name of a download, "" if it has none. It never contains a folder."""
    found = re.search(r'filename="([^"/\\]+)"', response.headers.get("Content-Disposition", ""))
    return found[1] if found and found[1].strip(".") else ""


def _parse_problem(response: Response) -> dict[str, Any]:
    """Return the members of the problem, or an empty dict if the body is not a JSON object."""
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _parse_field_errors(errors: object) -> Iterable[tuple[str, str]]:
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            yield str(error.get("field", "")), str(error.get("message", ""))
