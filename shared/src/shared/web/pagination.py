"""Keyset pagination: every page costs the same, and new rows do not shift later pages.

A cursor is the sort key of the last row as base64url JSON. It is opaque to clients.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import orjson
from fastapi import Query
from pydantic import BaseModel

from shared.errors.problems import BadRequestError, FieldError
from shared.validation.numbers import DIGITS

T = TypeVar("T")
Row = TypeVar("Row")

Limit = Annotated[int, Query(ge=1, le=100, description="How many items at most"), DIGITS]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before")]


class Page(BaseModel, Generic[T]):
    """A page; `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None = None


def build_page(
    rows: Sequence[Row], *, limit: int, item: Callable[[Row], T], key: Callable[[Row], tuple[object, ...]]
) -> Page[T]:
    """Return a page of the first `limit` rows. Query `limit + 1` rows, so that the last page is recognised.

    `item` converts a row for the client, `key` returns its sort key for the cursor.
    """
    shown = rows[:limit]
    cursor = encode_cursor(*key(shown[-1])) if len(rows) > limit else None
    return Page(items=[item(row) for row in shown], next_cursor=cursor)


def encode_cursor(*key: object) -> str:
    """Return the cursor for a sort key of JSON types, UUIDs and datetimes."""
    return urlsafe_b64encode(orjson.dumps([str(part) for part in key])).rstrip(b"=").decode()


def decode_cursor(cursor: str, *, parts: int) -> list[str]:
    """Return the sort key of `cursor` as strings; raises BadRequestError if the cursor is invalid."""
    try:
        key = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if isinstance(key, list) and len(key) == parts and encode_cursor(*key) == cursor:  # the canonical encoding
            return key
    except (ValueError, TypeError):
        pass
    raise invalid_cursor_error()


def invalid_cursor_error() -> BadRequestError:
    """Return the problem for a cursor that cannot be decoded, or whose parts have the wrong type."""
    return BadRequestError(
        "The cursor is not valid",
        errors=[FieldError(field="cursor", message="use next_cursor of the previous page, unchanged")],
    )
