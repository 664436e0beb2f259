"""What this service publishes: `hopline.order.{placed,packed,shipped,cancelled}.v1`, one per change of state.

They go through the outbox: a row of the transaction that changes the order. `docs/asyncapi.yaml` describes them.
"""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from orders.schemas import OrderOut
from shared.events import CloudEvent, publish

STREAM: Final = "events:orders"
CONSUMERS: Final = ("notifications", "workers")
"""The groups that read the stream; it is trimmed below what all of them have acknowledged."""

SOURCE: Final = "/hopline/orders"


class OrderEvents:
    """Announces orders in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def announce(self, order: OrderOut) -> None:
        """Publish that `order` has reached its present state; the subject is its id, so is `data.order_id`."""
        data = order.model_dump()
        event = CloudEvent(
            source=SOURCE,
            type=f"hopline.order.{order.status}.v1",
            subject=str(order.id),
            data={"order_id": data.pop("id"), **data},
        )
        await publish(self._session, event)
