"""Cursors of pages of orders."""

from datetime import UTC, datetime
from uuid import UUID

from shared.validation.times import within_years
from shared.web.pagination import decode_cursor, invalid_cursor_error


def decode_order_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Return the time and the id of the last order of a page. Raises BadRequestError for an invalid cursor."""
    created_at, order_id = decode_cursor(cursor, parts=2)
    try:
        return within_years(datetime.fromisoformat(created_at).astimezone(UTC)), UUID(order_id)
    except (ValueError, OverflowError) as error:
        raise invalid_cursor_error() from error
