"""Constraint names and column types of every service's tables.

Each service defines a separate base, so that its metadata contains only its own tables::

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
"""Constraints have the same name in every database, so migrations can drop them and errors can be matched by name."""

COLUMN_TYPES: dict[Any, Any] = {
    str: Text(),  # VARCHAR(n) has no advantage in PostgreSQL; input validation checks lengths
    datetime: DateTime(timezone=True),
    dict[str, Any]: JSONB(),
}
"""Column types by annotation: `Mapped[datetime]` is a `timestamptz`."""


def named_metadata() -> MetaData:
    """Return new metadata whose constraints are named by NAMING_CONVENTION."""
    return MetaData(naming_convention=NAMING_CONVENTION)
