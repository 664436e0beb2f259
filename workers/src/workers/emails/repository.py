"""All SQL about emails."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from workers.models import Email, EmailState


class EmailRepository:
    """Changes of emails within one transaction, which the caller commits."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def announce(self, dedupe_key: str, *, message_id: str, recipient: str) -> bool:
        """Insert the email in the state `sending`, or return False if it exists."""
        row = (
            insert(Email)
            .values(dedupe_key=dedupe_key, message_id=message_id, recipient=recipient)
            .on_conflict_do_nothing()
            .returning(Email.dedupe_key)
        )
        return await self._session.scalar(row) is not None

    async def lock(self, dedupe_key: str, *, idle_s: float) -> EmailState | None:
        """Lock the row until the transaction ends. Return its state, or None if another worker has the lock.

        PostgreSQL ends the transaction after `idle_s` seconds without a statement, so a frozen worker cannot block an
        email for longer. `idle_s` must exceed the duration of an SMTP dialogue.
        """
        await self._session.execute(
            sa.select(sa.func.set_config("idle_in_transaction_session_timeout", str(round(idle_s * 1000)), True))
        )
        row = sa.select(Email.state).where(Email.dedupe_key == dedupe_key).with_for_update(skip_locked=True)
        state = await self._session.scalar(row)
        return EmailState(state) if state else None

    async def mark_sent(self, dedupe_key: str) -> None:
        """Record that the server accepted the email."""
        await self._session.execute(
            sa.update(Email)
            .where(Email.dedupe_key == dedupe_key, Email.state == EmailState.SENDING)
            .values(state=EmailState.SENT, sent_at=sa.func.now())
        )
