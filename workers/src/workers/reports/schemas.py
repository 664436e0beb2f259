"""What orders says about a report and the orders in it; what is not needed here is left out."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from workers.schemas import JobPayload


class ReportRequested(BaseModel):
    """Data of `hopline.report.requested.v1`: what is to be in it, orders says by its id."""

    report_id: UUID
    user_id: UUID


class MakeReport(JobPayload):
    """Make a report."""

    kind: ClassVar[str] = "make_report"

    user_id: UUID
    report_id: UUID

    @property
    def dedupe_key(self) -> str:
        """One per report."""
        return f"{self.kind}:{self.report_id}"


class FailReport(JobPayload):
    """Tell orders, and by it the user, that a report failed."""

    kind: ClassVar[str] = "fail_report"

    user_id: UUID
    report_id: UUID
    reason: str

    @property
    def dedupe_key(self) -> str:
        """One per report: that it failed is final."""
        return f"{self.kind}:{self.report_id}"


class ReportWork(BaseModel):
    """What is to be made, of about `total` orders placed in `period_from <= created_at < period_to`."""

    id: UUID
    format: Literal["csv", "pdf"]
    scope: Literal["own", "all"]
    period_from: datetime
    period_to: datetime
    object_key: str = Field(min_length=1)
    total: int = Field(ge=0)


@dataclass(frozen=True, slots=True)
class ReportedItem:
    """One line of an order."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class ReportedOrder:
    """One order as it is now; `total_cents` in hundredths of `currency`.

    No model, as its line is none: five hundred orders of three lines are 0.3 MB so, and would be 1.4.
    """

    id: UUID
    user_id: UUID
    status: str
    items: list[ReportedItem]
    total_cents: int
    currency: str
    created_at: datetime


class OrdersPage(BaseModel):
    """Some orders, oldest first; `next_cursor` is None on the last page."""

    items: list[ReportedOrder]
    next_cursor: str | None
