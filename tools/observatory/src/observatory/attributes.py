"""OTLP attribute values as plain Python values and as text."""

import base64
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import orjson
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage

Plain: TypeAlias = "str | bool | int | float | bytes | list[Plain] | dict[str, Plain] | None"

NO_SERVICE_NAME = "OTLPResourceNoServiceName"  # Jaeger's name for a resource without service.name


class Resource(NamedTuple):
    """The process that sent spans or records: its service name and all its attributes, including service.name."""

    service: str
    attributes: dict[str, Plain]


class Scope(NamedTuple):
    """The instrumentation scope of a span or record. Both fields may be empty."""

    name: str
    version: str


def plain(value: AnyValue) -> Plain:
    """Return the value as a Python value; None if it is not set."""
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return plain_attributes(value.kvlist_value.values)
        case _:
            scalar: Plain = getattr(value, kind)
            return scalar


def plain_attributes(pairs: Iterable[KeyValue]) -> dict[str, Plain]:
    """Return the attributes in their order. The last value of a repeated key is used."""
    return {pair.key: plain(pair.value) for pair in pairs}


def as_text(value: Plain) -> str:
    """Return the value as text.

    Strings, booleans, integers and bytes have the format of the OpenTelemetry Collector. Floats and nested values can
    differ from it.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, bytes):
        return _base64(value)
    return "" if value is None else orjson.dumps(value, default=_base64).decode()


@lru_cache(maxsize=256)
def resource_from(raw: bytes) -> Resource:
    """Decode a serialised OTLP resource. All batches of a process share one object."""
    attributes = plain_attributes(ResourceMessage.FromString(raw).attributes)
    return Resource(as_text(attributes.get("service.name")) or NO_SERVICE_NAME, attributes)


@lru_cache(maxsize=256)
def scope_of(name: str, version: str) -> Scope:
    """Return the shared object of a scope.

    Holding the protobuf submessage would keep the whole request in memory, so the fields are copied.
    """
    return Scope(name, version)


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
