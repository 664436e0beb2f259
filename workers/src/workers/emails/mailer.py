"""Sends each email once, as far as SMTP allows. The docstring of the package has the guarantees."""

import asyncio
from contextlib import suppress
from time import monotonic

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation

from shared.db.database import Database
from shared.errors.stores import DATABASE_ERRORS, log_store_failure
from shared.faults.crash_points import crash_point
from workers.emails.content import EmailContent
from workers.emails.message import EncodedEmail, encode_email
from workers.emails.repository import EmailRepository
from workers.emails.smtp import DIALOGUE_TIMEOUT_S, SmtpServer
from workers.errors import EmailLockedError
from workers.jobs.repository import Claim
from workers.models import EmailState

log = structlog.get_logger(__name__)

LOCK_IDLE_S = DIALOGUE_TIMEOUT_S + 10.0
"""PostgreSQL releases the lock of an email after this number of seconds without a statement."""

RECORD_TIMEOUT_S = 30.0
RECORD_PAUSE_S = 0.25
"""Maximum time to record a sent email while the database is unavailable, and the pause between two attempts."""


class Mailer:
    """Sends emails by SMTP, each once as far as SMTP allows. Each dialogue holds a database connection."""

    def __init__(self, *, database: Database, smtp: SmtpServer, max_concurrent_sends: int) -> None:
        self._database = database
        self._smtp = smtp
        self._slots = asyncio.Semaphore(max_concurrent_sends)

    async def send(self, content: EmailContent, *, claim: Claim) -> None:
        """Send the email unless it was already sent under the claim's dedupe key.

        A started SMTP dialogue is finished even if the job is cancelled several times, because after an interruption it
        would be unknown whether the server accepted the message.

        Raises:
            EmailLockedError: Another worker is sending it.
            PermanentJobError: The email cannot be encoded, or the server rejects it permanently.
            DependencyUnavailableError: The server is unavailable or rejects the email temporarily.
        """
        email = encode_email(content, sender=self._smtp.sender, claim=claim)
        async with self._slots:
            sending = asyncio.create_task(self._send_once(email, content=content, claim=claim))
            try:
                await asyncio.shield(sending)
            except asyncio.CancelledError:
                while not sending.done():  # a lost lease cancels the job again at each renewal
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([sending])
                raise

    async def _send_once(self, email: EncodedEmail, *, content: EmailContent, claim: Claim) -> None:
        key, message_id = claim.dedupe_key, email.message_id
        logged_id = message_id.strip("<>").partition("@")[0]  # log redaction would mask it as an address
        async with self._database.transaction() as session:
            first = await EmailRepository(session=session).announce(
                key, message_id=message_id, recipient=content.recipient
            )
        accepted = False
        try:
            async with self._database.transaction() as session:
                emails = EmailRepository(session=session)
                with suppress_instrumentation():
                    state = await emails.lock(key, idle_s=LOCK_IDLE_S)
                if state is None:
                    raise EmailLockedError(f"another worker is sending {logged_id}")
                if state is EmailState.SENT:
                    log.info("email_was_sent", message_id=logged_id)
                    return
                if not first:
                    log.warning("email_may_repeat", message_id=logged_id)
                await self._smtp.hand_over(email)
                accepted = True
                crash_point("email.after_handover")
                await emails.mark_sent(key)
        except DATABASE_ERRORS as error:
            if not accepted:
                raise
            log_store_failure(log, "email_not_recorded", error, message_id=logged_id)
            await self._record_sent(key)
        log.info("email_sent", message_id=logged_id, subject=content.subject)

    async def _record_sent(self, key: str) -> None:
        """Record that the server accepted the email, as soon as the database is available.

        Only this process can do so. Otherwise the next attempt of the job would send the email again.
        """
        deadline = monotonic() + RECORD_TIMEOUT_S
        while True:
            try:
                async with self._database.transaction() as session:
                    await EmailRepository(session=session).mark_sent(key)
                    return
            except DATABASE_ERRORS:
                if monotonic() > deadline:
                    raise
            await asyncio.sleep(RECORD_PAUSE_S)
