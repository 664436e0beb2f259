"""SMTP receiver, port 1025. Emails are accepted but not forwarded."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiosmtpd.smtp import SMTP, Envelope, Session

from observatory import mime
from observatory.mailbox import Mailbox

_IDLE_SECONDS = 60.0


class Receiver:
    """Adds each message to the mailbox. Rejects messages that the mailbox could not parse."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Return the response to the end of DATA. aiosmtpd requires this name."""
        raw = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        try:
            mime.check_readable(raw)
        except mime.UnreadableEmailError as error:
            return f"550 5.6.0 {error}"
        mail = self._mailbox.put(
            sender=envelope.mail_from or "", recipients=[str(item) for item in envelope.rcpt_tos], raw=raw
        )
        return f"250 2.0.0 Ok: queued as {mail.id}"


@asynccontextmanager
async def smtp_server(listener: socket.socket, mailbox: Mailbox, *, max_bytes: int) -> AsyncIterator[None]:
    """Serve on a bound socket while the block runs. A message larger than `max_bytes` gets the response 552."""
    loop = asyncio.get_running_loop()
    receiver = Receiver(mailbox)

    def session() -> SMTP:
        return SMTP(
            receiver,
            data_size_limit=max_bytes,
            enable_SMTPUTF8=True,
            hostname="observatory",
            ident="Hopline observatory",
            timeout=_IDLE_SECONDS,
            loop=loop,
        )

    server = await loop.create_server(session, sock=listener)
    try:
        yield
    finally:
        server.close()
