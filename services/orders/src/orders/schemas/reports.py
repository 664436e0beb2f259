"""Wire shapes of reports, for those who ask for one and for the worker that makes it."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from orders.models import ReportFormat, ReportKind, ReportScope, ReportStatus
from shared.times import within_years

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_DAY_AND_TIME = re.compile(_DAY.pattern + r"[Tt ]\d{2}:.+")
_TIME = TypeAdapter(AwareDatetime)
_WRONG = "must be a day such as 2026-11-25, or an RFC 3339 time with its offset such as 2026-11-25T08:00:00Z"


def _beginning(value: object) -> datetime:
    """The time, or the beginning of the day."""
    return _moment(value, days=0)


def _end(value: object) -> datetime:
    """The time, or the end of the day, which is the beginning of the next."""
    return _moment(value, days=1)


def _moment(value: object, *, days: int) -> datetime:
    """Days are UTC's, and `days` are added to them. Raises ValueError for anything but text that says when."""
    return within_years(_parsed(value, days=days))


def _parsed(value: object, *, days: int) -> datetime:
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            day = datetime.combine(date.fromisoformat(value), datetime.min.time(), tzinfo=UTC)
            return day + timedelta(days=days)
        if isinstance(value, str) and _DAY_AND_TIME.fullmatch(value):
            return _TIME.validate_python(value).astimezone(UTC)
    except (ValueError, OverflowError, ValidationError):
        pass
    raise ValueError(_WRONG)


PeriodStart = Annotated[
    datetime, BeforeValidator(_beginning), WithJsonSchema({"type": "string", "examples": ["2026-11-01"]})
]
PeriodEnd = Annotated[datetime, BeforeValidator(_end), WithJsonSchema({"type": "string", "examples": ["2026-11-30"]})]


class NewReport(BaseModel):
    """A period of at most a year: RFC 3339 times, `from` included and `to` not, or days of UTC, both included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ReportKind
    format: ReportFormat
    period_from: PeriodStart = Field(alias="from")
    period_to: PeriodEnd = Field(alias="to")


class ReportOut(BaseModel):
    """A report; its notifications are `report.progress`, and `report.ready` or `report.failed`."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)

    id: UUID
    user_id: UUID
    kind: ReportKind
    format: ReportFormat
    period_from: datetime = Field(serialization_alias="from")
    period_to: datetime = Field(serialization_alias="to", description="Not included")
    status: ReportStatus
    progress: int = Field(description="Percent", json_schema_extra={"minimum": 0, "maximum": 100})
    download_url: str | None = Field(None, description="Once it is done", examples=["/v2/reports/…/download"])
    size_bytes: int | None
    error: str | None = Field(description="Why it failed")
    created_at: datetime
    finished_at: datetime | None


class ReportWork(BaseModel):
    """What the worker is to make: the file is to lie at `object_key`, and `total` orders are in it as of now."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: ReportKind
    format: ReportFormat
    scope: ReportScope
    period_from: datetime
    period_to: datetime
    object_key: str
    total: int = 0


class ReportProgress(BaseModel):
    """How far the worker is, in percent; a hundred is for `ReportFile` to say."""

    progress: StrictInt = Field(ge=0, le=99)


class ReportFile(BaseModel):
    """The file lies where it is to lie."""

    size_bytes: StrictInt = Field(ge=0)


class ReportFailure(BaseModel):
    """Why the report cannot be made, in words for its user."""

    reason: str = Field(min_length=1, max_length=500)
