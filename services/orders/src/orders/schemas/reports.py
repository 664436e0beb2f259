"""Wire shapes of reports, for users and for the worker that writes their files."""

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
from shared.validation.times import within_years

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_DAY_AND_TIME = re.compile(_DAY.pattern + r"[Tt ]\d{2}:.+")
_TIME = TypeAdapter(AwareDatetime)
_EXPECTED = "must be a day such as 2026-11-25, or an RFC 3339 time with its offset such as 2026-11-25T08:00:00Z"


def _parse_start(value: object) -> datetime:
    """Return the time, or the start of the day in UTC."""
    return within_years(_parse(value, days=0))


def _parse_end(value: object) -> datetime:
    """Return the time, or the start of the next day in UTC."""
    return within_years(_parse(value, days=1))


def _parse(value: object, *, days: int) -> datetime:
    """Return the time, or the start of the day plus `days`. Raises ValueError for other values."""
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            day = datetime.combine(date.fromisoformat(value), datetime.min.time(), tzinfo=UTC)
            return day + timedelta(days=days)
        if isinstance(value, str) and _DAY_AND_TIME.fullmatch(value):
            return _TIME.validate_python(value).astimezone(UTC)
    except (ValueError, OverflowError, ValidationError):
        pass
    raise ValueError(_EXPECTED)


PeriodStart = Annotated[
    datetime, BeforeValidator(_parse_start), WithJsonSchema({"type": "string", "examples": ["2026-11-01"]})
]
PeriodEnd = Annotated[
    datetime, BeforeValidator(_parse_end), WithJsonSchema({"type": "string", "examples": ["2026-11-30"]})
]


class ReportCreate(BaseModel):
    """A period of at most a year: RFC 3339 times with `to` excluded, or days in UTC with both included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ReportKind
    format: ReportFormat
    period_from: PeriodStart = Field(alias="from")
    period_to: PeriodEnd = Field(alias="to")


class Report(BaseModel):
    """A report. Its notifications are `report.progress`, then `report.ready` or `report.failed`."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)

    id: UUID
    user_id: UUID
    kind: ReportKind
    format: ReportFormat
    period_from: datetime = Field(serialization_alias="from")
    period_to: datetime = Field(serialization_alias="to", description="Excluded")
    status: ReportStatus
    progress: int = Field(description="Percent", json_schema_extra={"minimum": 0, "maximum": 100})
    download_url: str | None = Field(None, description="Set if the report is done", examples=["/v2/reports/…/download"])
    size_bytes: int | None
    error: str | None = Field(description="Reason of the failure")
    created_at: datetime
    finished_at: datetime | None


class ReportJob(BaseModel):
    """The work of a report: write the file to `object_key`. `total` is the present number of its orders."""

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
    """The progress of the worker in percent. `ReportFile` completes the report."""

    progress: StrictInt = Field(ge=0, le=99)


class ReportFile(BaseModel):
    """The file of a report that the worker has written."""

    size_bytes: StrictInt = Field(ge=0)


class ReportFailure(BaseModel):
    """The reason of a failure, in words for the user."""

    reason: str = Field(min_length=1, max_length=500)
