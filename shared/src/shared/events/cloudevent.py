"""The envelope: CloudEvents 1.0 in JSON with the distributed-tracing extension and the sender's baggage."""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


def _now() -> datetime:
    return datetime.now(UTC)


class CloudEvent(BaseModel):
    """Something that happened: `type` says what, `subject` to which object, `data` the rest.

    Compare https://github.com/cloudevents/spec. `id` names the happening: consumers apply each id once. Attributes
    this version does not know are ignored, as the specification asks.
    """

    model_config = ConfigDict(frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: UUID = Field(default_factory=uuid4)
    source: str = Field(min_length=1)
    type: str = Field(min_length=1)
    subject: str
    time: AwareDatetime = Field(default_factory=_now)
    datacontenttype: Literal["application/json"] = "application/json"
    data: dict[str, Any]
    traceparent: str | None = None
    tracestate: str | None = None
    baggage: str | None = None

    def encode(self) -> bytes:
        """JSON in UTF-8, as it travels in a stream entry; absent attributes are left out."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def decode(cls, body: bytes | str) -> "CloudEvent":
        """Read `encode`'s JSON; raises `pydantic.ValidationError` on anything else."""
        return cls.model_validate_json(body)


def encode_stored(attributes: dict[str, Any], *, data: str) -> bytes:
    """`CloudEvent.encode` for what was an event before: its own attributes, and `data` in JSON as it was stored.

    Nothing is checked or parsed again, which is nine tenths of what a backlog would cost.
    """
    present = {name: value for name, value in attributes.items() if value is not None}
    envelope = _ENVELOPE | present | {"data": orjson.Fragment(data)}
    return orjson.dumps(envelope, option=orjson.OPT_UTC_Z, default=str)  # asyncpg has a class of its own for UUIDs


_ENVELOPE = {"specversion": "1.0", "datacontenttype": "application/json"}
