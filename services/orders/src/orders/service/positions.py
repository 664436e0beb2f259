"""Where a page of orders ended: the position that a cursor holds."""

from datetime import UTC, datetime
from uuid import UUID

from shared.pages import decode_cursor, invalid_cursor
from shared.times import within_years


def position_in(cursor: str) -> tuple[datetime, UUID]:
    """Return the time and the id of the last order seen; raises BadRequest for a cursor that holds none."""
    created_at, order_id = decode_cursor(cursor, parts=2)
    try:
        return within_years(datetime.fromisoformat(created_at).astimezone(UTC)), UUID(order_id)
    except (ValueError, OverflowError) as error:
        raise invalid_cursor() from error
