"""Mailpit's API, port 8025: the emails received by SMTP, newest first.

Reference: https://mailpit.axllent.org/docs/api-v1/ and axllent/mailpit server/apiv1. Opening a message marks it read;
`latest` stands for the newest message's id.
"""

import re
import resource
import time
from collections.abc import Awaitable, Callable
from email.message import Message
from typing import Any, TypeAlias

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from observatory import mime
from observatory.mail_search import compile_search
from observatory.mailbox import Mail, Mailbox
from observatory.responses import JsonResponse
from shared.validation.text import terminal_text

Json: TypeAlias = "dict[str, Any]"
MailResponder: TypeAlias = "Callable[[Mail, Message], Response]"

_DEFAULT_LIMIT = 50
_NO_FOREIGN_CONTENT = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'"


class BadRequestError(ValueError):
    """A parameter or the body is invalid. The message names it."""


class MailpitApi:
    """Serves the mailbox."""

    def __init__(self, *, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._started = time.monotonic()

    def routes(self) -> list[Route]:
        """Return the probes, the endpoints below /api/v1 and the bodies below /view."""
        return [
            Route("/livez", self.probe),
            Route("/readyz", self.probe),
            Route("/api/v1/info", self.info),
            Route("/api/v1/messages", self.messages, methods=["GET"]),
            Route("/api/v1/messages", self.delete, methods=["DELETE"]),
            Route("/api/v1/search", self.search),
            Route("/api/v1/message/{mail_id}", self._endpoint(_opened)),
            Route("/api/v1/message/{mail_id}/headers", self._endpoint(_headers)),
            Route("/api/v1/message/{mail_id}/raw", self._endpoint(_raw)),
            Route("/view/{mail_id}.html", self._endpoint(_html)),
            Route("/view/{mail_id}.txt", self._endpoint(_text)),
        ]

    async def probe(self, _request: Request) -> Response:
        """Return 200."""
        return PlainTextResponse("")

    async def info(self, _request: Request) -> Response:
        """Return the numbers of emails and of unread emails."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return JsonResponse(
            {
                "Version": "hopline-observatory",
                "LatestVersion": "",
                "Database": "memory",
                "DatabaseSize": self._mailbox.byte_count,
                "Messages": len(self._mailbox),
                "Unread": self._mailbox.unread(),
                "Tags": {},
                "RuntimeStats": {
                    "Uptime": int(time.monotonic() - self._started),
                    "Memory": usage.ru_maxrss * 1_024,
                    "MessagesDeleted": self._mailbox.deleted,
                    "SMTPAccepted": self._mailbox.accepted,
                    "SMTPAcceptedSize": self._mailbox.accepted_bytes,
                    "SMTPRejected": 0,
                    "SMTPIgnored": 0,
                },
            }
        )

    async def messages(self, request: Request) -> Response:
        """List at most `limit` messages from `start` on (default 50, 0 for all)."""
        return self._listing(request, list(self._mailbox.newest_first()))

    async def search(self, request: Request) -> Response:
        """List the messages that match `query` (see mail_search.py)."""
        matches = compile_search(request.query_params.get("query", ""))
        return self._listing(
            request, [mail for mail in self._mailbox.newest_first() if matches(mail, mime.parse(mail.raw))]
        )

    async def delete(self, request: Request) -> Response:
        """Delete the messages in the body's `IDs`, or all messages without a body or with an empty list."""
        self._mailbox.delete(_read_ids(await request.body()))
        return PlainTextResponse("ok")

    def _endpoint(self, respond: MailResponder) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            mail = self._mailbox.get(request.path_params["mail_id"])
            return respond(mail, mime.parse(mail.raw)) if mail else PlainTextResponse("404 message not found", 404)

        return endpoint

    def _listing(self, request: Request, mails: list[Mail]) -> Response:
        start = request.query_params.get("start", "") or "0"
        limit = request.query_params.get("limit", "") or str(_DEFAULT_LIMIT)
        if not all(re.fullmatch(r"[0-9]{1,9}", raw) for raw in (start, limit)):
            raise BadRequestError("start and limit must be whole numbers of at most nine digits")
        shown = mails[int(start) :][: int(limit) or None]
        return JsonResponse(
            {
                "total": len(self._mailbox),
                "unread": self._mailbox.unread(),
                "count": len(shown),
                "messages_count": len(mails),
                "messages_unread": sum(not mail.read for mail in mails),
                "start": int(start),
                "tags": [],
                "messages": [_summary(mail) for mail in shown],
            }
        )


async def reject(_request: Request, error: Exception) -> Response:
    """Respond to BadRequestError and UnsupportedSearchError as Mailpit does: 400 and plain text."""
    return PlainTextResponse(terminal_text(str(error)), 400)


def _read_ids(body: bytes) -> list[str]:
    try:
        ids = orjson.loads(body)["IDs"] if body else []
    except (orjson.JSONDecodeError, KeyError, TypeError):
        ids = None
    if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
        raise BadRequestError('expected {"IDs": ["…"]}, or no body to delete every message')
    return ids


def _summary(mail: Mail) -> Json:
    message = mime.parse(mail.raw)
    return _common(mail, message) | {
        "Read": mail.read,
        "Created": mail.received_at,
        "Attachments": len(mime.attachments(message)),
        "Snippet": mime.snippet(mime.bodies(message)),
    }


def _common(mail: Mail, message: Message) -> Json:
    senders = mime.addresses(message, "From")
    return {
        "ID": mail.id,
        "MessageID": mime.message_id(message),
        "From": senders[0] if senders else {"Name": mime.header(message, "From"), "Address": ""},
        "To": mime.addresses(message, "To"),
        "Cc": mime.addresses(message, "Cc"),
        "Bcc": mime.blind_copies(mail.recipients, message),
        "ReplyTo": mime.addresses(message, "Reply-To"),
        "Subject": mime.header(message, "Subject"),
        "Username": "",
        "Tags": [],
        "Size": len(mail.raw),
    }


def _opened(mail: Mail, message: Message) -> Response:
    mail.read = True
    shown = mime.bodies(message)
    unsubscribe = {"Header": mime.header(message, "List-Unsubscribe"), "Links": [], "Errors": "", "HeaderPost": ""}
    return JsonResponse(
        _common(mail, message)
        | {
            "ReturnPath": mail.sender,
            "ListUnsubscribe": unsubscribe,
            "Date": mime.sent_at(message, mail.received_at),
            "Text": shown.text,
            "HTML": shown.html,
            "Inline": [],
            "Attachments": mime.attachments(message),
        }
    )


def _headers(_mail: Mail, message: Message) -> Response:
    return JsonResponse(mime.headers(message))


def _raw(mail: Mail, _message: Message) -> Response:
    return Response(mail.raw, media_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})


def _html(_mail: Mail, message: Message) -> Response:
    body = mime.bodies(message).html
    return Response(body, media_type="text/html", headers={"Content-Security-Policy": _NO_FOREIGN_CONTENT})


def _text(_mail: Mail, message: Message) -> Response:
    return PlainTextResponse(terminal_text(mime.bodies(message).text.replace("\r\n", "\n")))
