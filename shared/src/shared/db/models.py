"""What every service's tables have in common: constraint names and column types.

Each service makes a base of its own, so that its metadata holds its tables and nobody else's::

    class Base(DeclarativeBase):
        metadata = named_metadata()
        type_annotation_map = COLUMN_TYPES
"""

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB

NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
"""A constraint's name is the same in every database, so that a migration can drop it and an error can be told by it."""

COLUMN_TYPES: dict[Any, Any] = {
    str: Text(),  # Postgres stores a bounded VARCHAR no better; bounds are checked where input comes in
    datetime: DateTime(timezone=True),
    dict[str, Any]: JSONB(),
}
"""Column types by annotation: `Mapped[datetime]` is a `timestamptz`, never a naive time."""


def named_metadata() -> MetaData:
    """Fresh metadata whose constraints are named by the convention."""
    return MetaData(naming_convention=NAMING_CONVENTION)
