"""Bounds on dates and times of untrusted input.

asyncpg reads the first moment of the year 1 as `-infinity`, and arithmetic near the first or last year overflows.
"""

from datetime import date
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AwareDatetime

YEARS = range(2000, 2100)
"""The supported years."""

_Day = TypeVar("_Day", bound=date)


def within_years(value: _Day) -> _Day:
    """Return a date or time of a supported year; raises ValueError for others."""
    if value.year not in YEARS:
        raise ValueError(f"must lie in the years {YEARS[0]} to {YEARS[-1]}")
    return value


BoundedDay = Annotated[date, AfterValidator(within_years)]
BoundedTime = Annotated[AwareDatetime, AfterValidator(within_years)]
