"""Sends each email once, as far as SMTP allows; the package's docstring says how far that is."""

import asyncio
from time import monotonic

import structlog
from opentelemetry.instrumentation.utils import suppress_instrumentation

from shared.crash import crash_point
from shared.database import Database
from shared.store_errors import DATABASE_ERRORS
from workers.emails.letters import Letter
from workers.emails.message import EncodedEmail, encode_email
from workers.emails.repository import EmailLedger
from workers.emails.smtp import DIALOGUE_S, SmtpServer
from workers.errors import EmailInHand
from workers.ledger import Claim
from workers.models import EmailState

log = structlog.get_logger(__name__)

LOCK_IDLE_S = DIALOGUE_S + 10.0
RECORD_PATIENCE_S = 30.0
RECORD_PAUSE_S = 0.25


class Mailer:
    """Sends by `smtp`, at most `at_once` messages at a time: each holds a database connection meanwhile."""

    def __init__(self, *, database: Database, smtp: SmtpServer, at_once: int) -> None:
        self._database = database
        self._smtp = smtp
        self._slots = asyncio.Semaphore(at_once)

    async def send(self, letter: Letter, *, claim: Claim) -> None:
        """Send the letter unless it was sent before under the claim's dedupe key.

        Raises EmailInHand where another worker is at it, JobImpossible and DependencyAway as the server answers. Once
        begun, the dialogue is brought to its end even where the job is cancelled: broken off, nobody could tell
        whether the message went out.
        """
        email = encode_email(letter, sender=self._smtp.sender, claim=claim)
        async with self._slots:
            sending = asyncio.create_task(self._send_once(email, letter=letter, claim=claim))
            try:
                await asyncio.shield(sending)
            except asyncio.CancelledError:
                await asyncio.gather(sending, return_exceptions=True)
                raise

    async def _send_once(self, email: EncodedEmail, *, letter: Letter, claim: Claim) -> None:
        key, message_id = claim.dedupe_key, email.message_id
        known_as = message_id.strip("<>").partition("@")[0]  # in logs: what looks like an address is none there
        async with self._database.transaction() as session:
            first = await EmailLedger(session).announce(key, message_id=message_id, recipient=letter.recipient)
        accepted = False
        try:
            async with self._database.transaction() as session:
                ledger = EmailLedger(session)
                with suppress_instrumentation():
                    state = await ledger.lock(key, idle_s=LOCK_IDLE_S)
                if state is None:
                    raise EmailInHand(f"another worker is sending {known_as}")
                if state is EmailState.SENT:
                    log.info("email_was_sent", message_id=known_as)
                    return
                if not first:
                    log.warning("email_may_repeat", message_id=known_as)
                await self._smtp.hand_over(email)
                accepted = True
                crash_point("email.after_handover")
                await ledger.mark_sent(key)
        except DATABASE_ERRORS as error:
            if not accepted:
                raise
            log.warning("email_ledger_away", message_id=known_as, error=str(error))
            await self._record_sent(key)
        log.info("email_sent", message_id=known_as, subject=letter.subject)

    async def _record_sent(self, key: str) -> None:
        """Postgres went away between the handover and its record: wait for it, as nobody else knows."""
        give_up_at = monotonic() + RECORD_PATIENCE_S
        while True:
            try:
                async with self._database.transaction() as session:
                    await EmailLedger(session).mark_sent(key)
                    return
            except DATABASE_ERRORS:
                if monotonic() > give_up_at:
                    raise
            await asyncio.sleep(RECORD_PAUSE_S)
