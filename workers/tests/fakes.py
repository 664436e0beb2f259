"""Minimal fakes of the services and the mail server that the worker calls, on real sockets."""

import asyncio
import base64
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from testkit.apps import free_port

from .factories import problem
from .fake_reports import FakeReports

SECRET = "the-workers-secret"
BASIC = "Basic " + base64.b64encode(f"workers:{SECRET}".encode()).decode()


@dataclass(kw_only=True)
class FakeCleanup:
    """The cleanup routes of a service.

    `batches` are left to delete. `since` is the time of the oldest event that the service can publish again.
    """

    batches: int = 0
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    requests: list[dict[str, Any]] = field(default_factory=list)

    def routes(self, accepts: Callable[[Request], bool]) -> list[Route]:
        """Return the routes. `accepts` returns whether a request has a valid token."""

        async def clean_up(request: Request) -> Response:
            if not accepts(request):
                return Response(status_code=401)
            self.requests.append(await request.json())
            removed, self.batches = min(self.batches, 1), max(self.batches - 1, 0)
            return JSONResponse({"removed": {"rows": removed * 1000}, "more": self.batches > 0})

        async def events_since(request: Request) -> Response:
            if not accepts(request):
                return Response(status_code=401)
            return JSONResponse({"events_since": self.since.isoformat()})

        path = "/internal/housekeeping"
        return [Route(path, clean_up, methods=["POST"]), Route(path, events_since, methods=["GET"])]


@dataclass(kw_only=True)
class FakeUsers:
    """The internal routes of users.

    The next requests for a user get the error responses `next_statuses`. `token_lifetime` is in seconds. Only the
    latest token is accepted, unless it is in `revoked`.
    """

    users: dict[str, dict[str, str]] = field(default_factory=dict)
    next_statuses: list[int] = field(default_factory=list)
    token_lifetime: int = 300
    tokens_issued: int = 0
    revoked: set[str] = field(default_factory=set)
    user_requests: list[dict[str, str]] = field(default_factory=list)
    token_requests: list[dict[str, str]] = field(default_factory=list)
    admins: list[UUID] = field(default_factory=list)
    cleanup: FakeCleanup = field(default_factory=FakeCleanup)

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/internal/tokens", self._token, methods=["POST"]),
                Route("/internal/users/{user_id}", self._user),
                Route("/internal/admins", self._admins),
                *self.cleanup.routes(self.accepts),
            ]
        )

    async def _token(self, request: Request) -> Response:
        if request.headers.get("Authorization") != BASIC or await request.body() != b"grant_type=client_credentials":
            return Response(status_code=401)
        self.tokens_issued += 1
        self.token_requests.append(dict(request.headers))
        body = {"access_token": f"t{self.tokens_issued}", "token_type": "bearer", "expires_in": self.token_lifetime}
        return JSONResponse(body)

    def accepts(self, request: Request) -> bool:
        """Return whether a request has a valid token."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme == "Bearer" and token == f"t{self.tokens_issued}" and token not in self.revoked

    async def _user(self, request: Request) -> Response:
        self.user_requests.append(dict(request.headers))
        if not self.accepts(request):
            return Response(status_code=401)
        if self.next_statuses:
            return Response(status_code=self.next_statuses.pop(0))
        user = self.users.get(request.path_params["user_id"])
        if user is None:
            return problem(404, "user-not-found")
        ignored = {"role": "customer", "created_at": "2026-11-23T10:00:00Z"}
        return JSONResponse({"id": request.path_params["user_id"]} | user | ignored)

    async def _admins(self, request: Request) -> Response:
        if not self.accepts(request):
            return Response(status_code=401)
        return JSONResponse([{"id": str(admin)} | self.users[str(admin)] for admin in self.admins])


@dataclass(kw_only=True)
class FakeNotifications:
    """The internal routes of notifications."""

    users: FakeUsers
    cleanup: FakeCleanup = field(default_factory=FakeCleanup)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=self.cleanup.routes(self.users.accepts))


@dataclass(kw_only=True)
class FakeOrders:
    """The internal routes of orders.

    Fulfilment calls wait while `open` is cleared. `waiting` is the number of these calls. `error_response` replaces
    their response. `calls` has the order id and the step of each call, `called_at` the time of the event loop.
    """

    users: FakeUsers
    calls: list[tuple[str, str]] = field(default_factory=list)
    called_at: list[float] = field(default_factory=list)
    error_response: Response | None = None
    open: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    cleanup: FakeCleanup = field(default_factory=FakeCleanup)
    reports: FakeReports = field(default_factory=FakeReports)

    def __post_init__(self) -> None:
        self.open.set()

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/internal/orders/{order_id}/{step}", self._advance, methods=["POST"]),
                Route("/internal/sales", self._sales),
                *self.cleanup.routes(self.users.accepts),
                *self.reports.routes(self.users.accepts),
            ]
        )

    async def _sales(self, request: Request) -> Response:
        if not self.users.accepts(request):
            return Response(status_code=401)
        best = [{"sku": "cup", "name": "Blue cup", "quantity": 3, "total_cents": 3750}]
        figures = {"orders": 2, "cancelled": 1, "total_cents": 4500, "currency": "EUR", "best": best}
        return JSONResponse({"day": request.query_params["day"]} | figures)

    async def _advance(self, request: Request) -> Response:
        if not self.users.accepts(request):
            return Response(status_code=401)
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        self.calls.append((request.path_params["order_id"], request.path_params["step"]))
        self.called_at.append(asyncio.get_running_loop().time())
        return self.error_response or JSONResponse({})


@dataclass(kw_only=True)
class FakeMailServer:
    """A mail server.

    The next messages get `next_responses` and are not received. The response to DATA waits while `open` is cleared, and
    `waiting` is the number of these messages. The response to QUIT waits while `quit_open` is cleared.
    """

    port: int = field(default_factory=free_port)
    received_messages: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    next_responses: list[str] = field(default_factory=list)
    rejected_recipients: list[str] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    quit_open: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    _server: asyncio.Server = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.open.set()
        self.quit_open.set()

    @property
    def messages(self) -> list[EmailMessage]:
        """The accepted messages, parsed."""
        parsed = [message_from_bytes(body, policy=policy.default) for body in self.received_messages]
        return [message for message in parsed if isinstance(message, EmailMessage)]

    async def start(self) -> None:
        """Accept connections. Each start uses the same port."""
        loop = asyncio.get_running_loop()
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        self._server = await loop.create_server(
            lambda: SMTP(_Receiver(self), hostname="mail.test", loop=loop, enable_SMTPUTF8=True), "127.0.0.1", self.port
        )

    async def stop(self) -> None:
        """Stop accepting connections."""
        self._server.close()


@dataclass
class _Receiver:
    """The handler for aiosmtpd. It is a separate class, because aiosmtpd reads every attribute of its handler."""

    mailbox: FakeMailServer

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.mailbox.rejected_recipients:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        mailbox = self.mailbox
        mailbox.waiting += 1
        await mailbox.open.wait()
        mailbox.waiting -= 1
        if mailbox.next_responses:
            return mailbox.next_responses.pop(0)
        assert isinstance(envelope.content, bytes)
        mailbox.received_messages.append(envelope.content)
        mailbox.recipients += envelope.rcpt_tos
        return "250 accepted"

    async def handle_QUIT(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        await self.mailbox.quit_open.wait()
        return "221 bye"


def add_user(
    users: FakeUsers, user_id: object, *, name: str = "Ada Lovelace", email: str = "ada@hopline.example"
) -> None:
    """Add an account to the fake users service."""
    users.users[str(user_id)] = {"name": name, "email": email}


def body(message: EmailMessage, form: str) -> str:
    """Return the `plain` or `html` form of a message."""
    part = message.get_body(preferencelist=(form,))
    assert part is not None, f"no {form} part"
    content: Any = part.get_content()
    return str(content)
