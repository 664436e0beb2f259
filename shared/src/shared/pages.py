"""Keyset pages: the thousandth page costs what the first does, and rows that arrive meanwhile shift nothing.

A cursor is opaque to clients: the sort key of the last row, as base64url JSON.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import orjson
from fastapi import Query
from pydantic import BaseModel

from shared.errors import BadRequest, FieldError
from shared.numbers import DIGITS

T = TypeVar("T")
Row = TypeVar("Row")

Limit = Annotated[int, Query(ge=1, le=100, description="How many items at most"), DIGITS]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before")]


class Page(BaseModel, Generic[T]):
    """One page; `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None = None


def page_of(
    rows: Sequence[Row], *, limit: int, item: Callable[[Row], T], key: Callable[[Row], tuple[object, ...]]
) -> Page[T]:
    """The page that `rows` begin with: ask the database for `limit + 1`, so that a last page is known to be the last.

    `item` makes what the client sees of a row, `key` gives the row's sort key for the cursor.
    """
    shown = rows[:limit]
    cursor = encode_cursor(*key(shown[-1])) if len(rows) > limit else None
    return Page(items=[item(row) for row in shown], next_cursor=cursor)


def encode_cursor(*key: object) -> str:
    """An opaque cursor for the sort key of the last row (JSON types, UUIDs, datetimes)."""
    return urlsafe_b64encode(orjson.dumps([str(part) for part in key])).rstrip(b"=").decode()


def decode_cursor(cursor: str, *, parts: int) -> list[str]:
    """The sort key inside `cursor`, as strings; raises BadRequest where it is not one of ours."""
    try:
        key = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if isinstance(key, list) and len(key) == parts and encode_cursor(*key) == cursor:  # one spelling only
            return key
    except (ValueError, TypeError):
        pass
    raise invalid_cursor()


def invalid_cursor() -> BadRequest:
    """The problem for a cursor that does not decode, or whose parts are of the wrong type."""
    return BadRequest(
        "The cursor is not one this service gave out",
        errors=[FieldError(field="cursor", message="use next_cursor of the page before, unchanged")],
    )
