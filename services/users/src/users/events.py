"""The events that this service publishes. It consumes no events."""

from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging import CloudEvent, publish
from users.models import Account

STREAM = "events:users"
CONSUMERS = ("notifications", "workers")
"""The consumer groups of the stream. It is trimmed up to the last event that all of them have acknowledged."""

SOURCE = "/hopline/users"
REGISTERED = "hopline.user.registered.v1"


class UserEvents:
    """Publishes events of users in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def publish_registered(self, account: Account) -> None:
        """Publish that a user has registered. Consumers that need the email address request it by id."""
        data = {"user_id": account.id}
        event = CloudEvent(source=SOURCE, type=REGISTERED, subject=str(account.id), data=data)
        await publish(self._session, event)
