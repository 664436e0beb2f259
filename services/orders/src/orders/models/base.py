"""What the tables of this service have in common."""

from enum import StrEnum

from sqlalchemy import Enum
from sqlalchemy.orm import DeclarativeBase

from shared.models import COLUMN_TYPES, named_metadata


class Base(DeclarativeBase):
    """The tables of this service."""

    metadata = named_metadata()
    type_annotation_map = COLUMN_TYPES


def values_of(kind: type[StrEnum], *, constraint: str) -> Enum:
    """A column of at most 16 characters that holds the values of `kind` and, by a constraint, nothing else."""
    return Enum(
        kind,
        name=constraint,
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )
