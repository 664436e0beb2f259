"""What calls take in their path and query, as functions whose arguments FastAPI reads (see `pass_through.Call`)."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query

from gateway.schemas import SKU, OrderStatus
from shared.pages import Cursor, Limit


def page(limit: Limit = 20, cursor: Cursor = None) -> None:
    """A keyset page."""


def offset_page(
    limit: Limit = 20,
    offset: Annotated[int, Query(ge=0, le=1000, description="How many to skip; version 2 goes on without a bound")] = 0,
) -> None:
    """A page by its distance from the first."""


def with_status(status: OrderStatus | None = None) -> None:
    """Only orders in this state."""


def feed_page(
    after_seq: Annotated[int, Query(ge=0, description="The last `seq` you have")] = 0, limit: Limit = 50
) -> None:
    """A page of the feed."""


def product(sku: Annotated[str, Path(pattern=SKU)]) -> None:
    """Which product."""


def order(order_id: UUID) -> None:
    """Which order."""


def report(report_id: UUID) -> None:
    """Which report."""
