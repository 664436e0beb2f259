"""What this service publishes, one event per change of state.

- `hopline.order.{placed,packed,shipped,cancelled}.v1`
- `hopline.report.{requested,progress,ready,failed}.v1`

They go through the outbox: a row of the transaction that makes the change. `docs/asyncapi.yaml` describes them.
"""

from collections.abc import Sequence
from typing import ClassVar, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from orders.models import ReportFormat, ReportKind
from orders.schemas import OrderOut, StockLevel
from shared.events import CloudEvent, publish

STREAM: Final = "events:orders"
CONSUMERS: Final = ("notifications", "workers")
"""The groups that read the stream; it is trimmed below what all of them have acknowledged."""

SOURCE: Final = "/hopline/orders"


class OrderEvents:
    """Announces orders in the session's transaction."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def announce(self, order: OrderOut, *, stock: Sequence[StockLevel]) -> None:
        """Publish that `order` has reached its present state; the subject is its id, so is `data.order_id`.

        `stock` are the levels of the products of which another number of units is available now; without any, the
        member is absent.
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


class ReportNews(BaseModel):
    """What every event about a report says."""

    model_config = ConfigDict(from_attributes=True)

    report_id: UUID = Field(validation_alias="id")
    user_id: UUID


class ReportRequested(ReportNews):
    """Somebody wants this report."""

    type: ClassVar = "hopline.report.requested.v1"

    kind: ReportKind
    format: ReportFormat


class ReportAdvanced(ReportNews):
    """So many percent of it are there."""

    type: ClassVar = "hopline.report.progress.v1"

    progress: int


class ReportReady(ReportNews):
    """Its file can be had."""

    type: ClassVar = "hopline.report.ready.v1"

    download_url: str
    size_bytes: int


class ReportFailed(ReportNews):
    """There will be none."""

    type: ClassVar = "hopline.report.failed.v1"

    reason: str = Field(validation_alias="error")


REPORT_NEWS: Final = (ReportRequested, ReportAdvanced, ReportReady, ReportFailed)


class ReportEvents:
    """Announces reports in the session's transaction; the subject is the report's id."""

    def __init__(self, *, session: AsyncSession) -> None:
        self._session = session

    async def announce(self, news: ReportRequested | ReportAdvanced | ReportReady | ReportFailed) -> None:
        """Publish `news`, say `ReportFailed.model_validate(report)`."""
        event = CloudEvent(source=SOURCE, type=news.type, subject=str(news.report_id), data=news.model_dump())
        await publish(self._session, event)
