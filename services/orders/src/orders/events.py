"""The events that this service publishes, one for each change of state.

- `hopline.order.{placed,packed,shipped,cancelled}.v1`
- `hopline.report.{requested,progress,ready,failed}.v1`

They are written to the outbox in the transaction of the change. `docs/asyncapi.yaml` describes them.
"""

from collections.abc import Sequence
from typing import ClassVar, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from orders.models import ReportFormat, ReportKind
from orders.schemas import Order, StockLevel
from shared.messaging import CloudEvent, publish

STREAM: Final = "events:orders"
CONSUMERS: Final = ("notifications", "workers")
"""The consumer groups of the stream. It is trimmed up to the last event that all of them have acknowledged."""

SOURCE: Final = "/hopline/orders"


class OrderEvents:
    """Publishes events of orders in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def publish_order(self, order: Order, *, stock: Sequence[StockLevel]) -> None:
        """Publish the present state of `order`. The subject and `data.order_id` are its id.

        `stock` has the products whose number of available units has changed. An empty sequence omits the member.
        """
        data = order.model_dump()
        if stock:
            data["stock"] = [level.model_dump() for level in stock]
        event = CloudEvent(
            source=SOURCE,
            type=f"hopline.order.{order.status}.v1",
            subject=str(order.id),
            data={"order_id": data.pop("id"), **data},
        )
        await publish(self._session, event)


class ReportEvent(BaseModel):
    """The data that all events of a report have."""

    model_config = ConfigDict(from_attributes=True)

    report_id: UUID = Field(validation_alias="id")
    user_id: UUID


class ReportRequested(ReportEvent):
    """A user has requested the report."""

    type: ClassVar = "hopline.report.requested.v1"

    kind: ReportKind
    format: ReportFormat


class ReportAdvanced(ReportEvent):
    """The progress of the report has grown. `progress` is in percent."""

    type: ClassVar = "hopline.report.progress.v1"

    progress: int


class ReportReady(ReportEvent):
    """The file of the report can be downloaded."""

    type: ClassVar = "hopline.report.ready.v1"

    download_url: str
    size_bytes: int


class ReportFailed(ReportEvent):
    """The report has failed."""

    type: ClassVar = "hopline.report.failed.v1"

    reason: str = Field(validation_alias="error")


REPORT_EVENTS: Final = (ReportRequested, ReportAdvanced, ReportReady, ReportFailed)


class ReportEvents:
    """Publishes events of reports in the session's transaction. The subject is the report's id."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def publish_report(self, data: ReportRequested | ReportAdvanced | ReportReady | ReportFailed) -> None:
        """Publish one event, for example `ReportFailed.model_validate(report)`."""
        event = CloudEvent(source=SOURCE, type=data.type, subject=str(data.report_id), data=data.model_dump())
        await publish(self._session, event)
