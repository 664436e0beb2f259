"""Sends a message to an SMTP server (RFC 5321)."""

import asyncio
from contextlib import suppress
from email.utils import parseaddr

import aiosmtplib
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from shared.telemetry.spans import get_baggage_attributes, get_tracer, use_span
from workers.emails.message import EncodedEmail
from workers.errors import DependencyUnavailableError, PermanentJobError

DIALOGUE_TIMEOUT_S = 20.0
"""Timeout of one dialogue until the message is accepted, in seconds. It is shorter than the timeout of a job."""

CONNECT_TIMEOUT_S = 5.0
QUIT_TIMEOUT_S = 1.0
FIRST_PERMANENT_CODE = 500
"""Response codes from 500 on reject permanently (RFC 5321 §4.2.1)."""

_tracer = get_tracer("workers")


class SmtpServer:
    """Client of the SMTP server. It uses TLS if the server offers STARTTLS.

    `timeout_s` is the maximum time until the server has accepted a message, in seconds.
    """

    def __init__(self, *, host: str, port: int, sender: str, timeout_s: float = DIALOGUE_TIMEOUT_S) -> None:
        self._host = host
        self._port = port
        self.sender = sender
        self._timeout_s = timeout_s
        self._domain = parseaddr(sender)[1].rpartition("@")[2]

    async def hand_over(self, email: EncodedEmail) -> None:
        """Send the message in one CLIENT span, and return when the server has accepted it.

        Raises:
            PermanentJobError: The server rejects the recipient or the content permanently.
            DependencyUnavailableError: The server is unavailable or rejects the message temporarily.
        """
        attributes: dict[str, AttributeValue] = {
            "server.address": self._host,
            "server.port": self._port,
            "network.protocol.name": "smtp",
            "hopline.email.message_id": email.message_id,
            **get_baggage_attributes(),
        }
        with use_span(_tracer.start_span("SMTP send", kind=SpanKind.CLIENT, attributes=attributes)):
            try:
                await self._dialogue(email)
            except aiosmtplib.SMTPRecipientsRefused as error:
                raise _error_for(error.recipients[0].code) from None
            except aiosmtplib.SMTPDataError as error:
                raise _error_for(error.code) from None
            except aiosmtplib.SMTPNotSupported as error:
                raise PermanentJobError(f"the mail server does not support this message: {error}") from error
            except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
                address = f"{self._host}:{self._port}"
                raise DependencyUnavailableError(f"SMTP at {address}: {type(error).__name__}: {error}") from error

    async def _dialogue(self, email: EncodedEmail) -> None:
        client = aiosmtplib.SMTP(
            hostname=self._host, port=self._port, local_hostname=self._domain, timeout=self._timeout_s
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await client.connect(timeout=CONNECT_TIMEOUT_S)
                await client.sendmail(email.sender, email.recipient, email.content)
            with suppress(aiosmtplib.SMTPException, OSError):  # the message is already accepted
                await client.quit(timeout=QUIT_TIMEOUT_S)
        finally:
            client.close()


def _error_for(code: int) -> Exception:
    """Return the error without the server's text, which repeats the recipient's address and would be logged."""
    text = f"the mail server rejected the message: {code}"
    return PermanentJobError(text) if code >= FIRST_PERMANENT_CODE else DependencyUnavailableError(text)
