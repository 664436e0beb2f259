"""The declarative base and the column types of this service."""

from enum import StrEnum

from sqlalchemy import Enum
from sqlalchemy.orm import DeclarativeBase

from shared.db.models import COLUMN_TYPES, named_metadata


class Base(DeclarativeBase):
    """The declarative base of this service's tables."""

    metadata = named_metadata()
    type_annotation_map = COLUMN_TYPES


def enum_column(values: type[StrEnum], *, constraint: str) -> Enum:
    """Return the type of a text column of at most 16 characters. A check constraint admits only these values."""
    return Enum(
        values,
        name=constraint,
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )
