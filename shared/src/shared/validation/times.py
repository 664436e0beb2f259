"""Times from outside, within bounds.

PostgreSQL's driver reads the first moment of the year 1 as `-infinity`, and sums near either end of the calendar
overflow.
"""

from datetime import date
from typing import Annotated, TypeVar

from pydantic import AfterValidator, AwareDatetime

YEARS = range(2000, 2100)

_Day = TypeVar("_Day", bound=date)


def within_years(value: _Day) -> _Day:
    """Return a day or a time of a year that Hopline works with; raises ValueError."""
    if value.year not in YEARS:
        raise ValueError(f"must lie in the years {YEARS[0]} to {YEARS[-1]}")
    return value


BoundedDay = Annotated[date, AfterValidator(within_years)]
BoundedTime = Annotated[AwareDatetime, AfterValidator(within_years)]
