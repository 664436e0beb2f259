"""Wire shapes of fault switches: no client's, since the documents have none."""

from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from shared.faults import ALL_PERCENT, USUAL_VALUE, Fault, Kind

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
"""Where a process can be made to die, for those that watch for switches."""


class NewFault(BaseModel):
    """A fault to switch on, or a crash of `target` `at` one of its points: then `source` says nothing.

    `value` is in milliseconds for `slow`, in percent of calls for the others; `times` calls suffer, or all of them.
    """

    model_config = ConfigDict(extra="forbid")

    source: Literal["gateway", "orders", "notifications", "workers"] = "gateway"
    target: Literal["users", "orders", "notifications", "workers"]
    kind: Kind
    value: StrictInt | None = Field(None, ge=1, le=60_000)
    times: StrictInt | None = Field(None, ge=1, le=1_000)
    at: str | None = None
    for_seconds: StrictInt = Field(60, ge=1, le=3_600)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        points = CRASH_POINTS.get(self.target, [])
        if self.kind is Kind.CRASH and self.at not in points:
            raise ValueError(f"{self.target} can crash at {', '.join(points) or 'no point'}")
        if self.kind is Kind.CRASH:
            return self
        if self.target in {self.source, "workers"}:
            raise ValueError("nobody calls the workers, and no service itself")
        if self.kind is not Kind.SLOW and self.value is not None and self.value > ALL_PERCENT:
            raise ValueError(f"the value of {self.kind} is in percent")
        return self

    def fault(self) -> Fault:
        """The switch, from now on."""
        return Fault(
            source=self.target if self.kind is Kind.CRASH else self.source,
            target=self.target,
            kind=self.kind,
            value=self.value or USUAL_VALUE[self.kind],
            until=datetime.now(UTC) + timedelta(seconds=self.for_seconds),
            times=self.times,
            at=self.at,
        )


class FaultsOn(BaseModel):
    """The switches that are on."""

    items: list[Fault]
