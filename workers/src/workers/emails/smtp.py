"""Handing a message over to an SMTP server (RFC 5321)."""

import asyncio
from contextlib import suppress
from email.utils import parseaddr

import aiosmtplib
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from shared.tracing import active, arrived_baggage, tracer_of
from workers.emails.message import EncodedEmail
from workers.errors import DependencyAway, JobImpossible

DIALOGUE_S = 20.0
"""One whole dialogue; well below what a job gets."""
CONNECT_S = 5.0
QUIT_S = 1.0
PERMANENT = 500

_tracer = tracer_of("workers")


class SmtpServer:
    """Where mail goes out. TLS is used where the server offers STARTTLS."""

    def __init__(self, *, host: str, port: int, sender: str) -> None:
        self._host = host
        self._port = port
        self.sender = sender
        self._domain = parseaddr(sender)[1].rpartition("@")[2]

    async def hand_over(self, email: EncodedEmail) -> None:
        """Return when the server has accepted the message, in one CLIENT span.

        Raises JobImpossible where it refuses recipient or content for good, DependencyAway on anything else.
        """
        attributes: dict[str, AttributeValue] = {
            "server.address": self._host,
            "server.port": self._port,
            "network.protocol.name": "smtp",
            "hopline.email.message_id": email.message_id,
            **arrived_baggage(),
        }
        with active(_tracer.start_span("SMTP send", kind=SpanKind.CLIENT, attributes=attributes)):
            try:
                async with asyncio.timeout(DIALOGUE_S):
                    await self._dialogue(email)
            except aiosmtplib.SMTPRecipientsRefused as error:
                refusal = error.recipients[0]
                raise _refused(refusal.code) from None
            except aiosmtplib.SMTPDataError as error:
                raise _refused(error.code) from None
            except aiosmtplib.SMTPNotSupported as error:
                raise JobImpossible(f"the server cannot take this message: {error}") from error
            except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
                place = f"{self._host}:{self._port}"
                raise DependencyAway(f"SMTP at {place}: {type(error).__name__}: {error}") from error

    async def _dialogue(self, email: EncodedEmail) -> None:
        client = aiosmtplib.SMTP(hostname=self._host, port=self._port, local_hostname=self._domain, timeout=DIALOGUE_S)
        try:
            await client.connect(timeout=CONNECT_S)
            await client.sendmail(email.sender, email.recipient, email.content)
            with suppress(aiosmtplib.SMTPException, OSError):  # accepted is accepted, whatever follows
                await client.quit(timeout=QUIT_S)
        finally:
            client.close()


def _refused(code: int) -> Exception:
    """The failure without the server's words: they repeat the recipient's address, and this text is logged."""
    text = f"the mail server refuses: {code}"
    return JobImpossible(text) if code >= PERMANENT else DependencyAway(text)
