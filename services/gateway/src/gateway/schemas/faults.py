"""Schemas of fault switches. They are not in the OpenAPI documents."""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationInfo, field_validator, model_validator

from shared.faults import ALL_PERCENT, DEFAULT_VALUES, Fault, FaultKind

CRASH_POINTS: Final[dict[str, list[str]]] = {
    "orders": ["relay.after_append"],
    "notifications": ["consumer.after_commit"],
    "workers": [
        "consumer.after_commit",
        "email.after_handover",
        *("job.after_claim", "job.after_effect", "job.before_complete"),
        *("report.after_progress", "report.before_put", "report.after_put"),
    ],
}
"""The crash points of each target of a fault."""


class FaultCreate(BaseModel):
    """A fault in calls from `source` to `target`, or a crash of `target` `at` one of its crash points.

    `value` is in milliseconds for `slow`, else in percent of calls. `times` limits the number of affected calls.
    """

    model_config = ConfigDict(extra="forbid")

    source: Literal["gateway", "orders", "notifications", "workers"] = "gateway"
    target: Literal["users", "orders", "notifications", "workers"]
    kind: FaultKind
    value: StrictInt | None = Field(None, ge=1, le=60_000)
    times: StrictInt | None = Field(None, ge=1, le=1_000)
    at: str | None = None
    for_seconds: StrictInt = Field(60, ge=1, le=3_600)

    @field_validator("value", "at")
    @classmethod
    def _check_kind(cls, value: object, info: ValidationInfo) -> object:
        """Reject a `value` for a crash, and `at` for another kind of fault, because they would have no effect."""
        kind = info.data.get("kind")
        if value is not None and kind and (kind is FaultKind.CRASH) is (info.field_name == "value"):
            raise ValueError(f"a fault of kind {kind} has no {info.field_name}; omit it")
        return value

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        points = CRASH_POINTS.get(self.target, [])
        if self.kind is FaultKind.CRASH and self.at not in points:
            raise ValueError(f"the crash points of {self.target} are: {', '.join(points) or 'none'}")
        if self.kind is FaultKind.CRASH:
            return self
        if self.target in {self.source, "workers"}:
            raise ValueError("the target must differ from the source, and workers receive no calls")
        if self.kind is not FaultKind.SLOW and self.value is not None and self.value > ALL_PERCENT:
            raise ValueError(f"the value of {self.kind} is in percent, at most {ALL_PERCENT}")
        return self

    def fault(self) -> Fault:
        """Return the fault, which starts now."""
        return Fault(
            source=self.target if self.kind is FaultKind.CRASH else self.source,
            target=self.target,
            kind=self.kind,
            value=self.value or DEFAULT_VALUES[self.kind],
            until=datetime.now(UTC) + timedelta(seconds=self.for_seconds),
            times=self.times,
            at=self.at,
        )


class FaultList(BaseModel):
    """The active faults."""

    items: list[Fault]
