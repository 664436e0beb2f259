"""What users publishes. It reacts to nobody's events."""

from sqlalchemy.ext.asyncio import AsyncSession

from shared.events import CloudEvent, publish
from users.models import Account

STREAM = "events:users"
CONSUMERS = ("notifications", "workers")
"""The groups that read the stream; it is not trimmed beyond what each has acknowledged."""

SOURCE = "/hopline/users"
REGISTERED = "hopline.user.registered.v1"


class UserEvents:
    """Publishes within the transaction of `session`."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def registered(self, account: Account) -> None:
        """Tell that somebody has registered. The address is not told: who may know it asks by id."""
        data = {"user_id": account.id}
        event = CloudEvent(source=SOURCE, type=REGISTERED, subject=str(account.id), data=data)
        await publish(self._session, event)
