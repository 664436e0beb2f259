"""Serialised pieces of OTLP messages: attributes, and messages as fields of their parent. Repeated pieces are cached.

The official message classes serialise the pieces. Only the field number and the length in front of an embedded message
are written here (https://protobuf.dev/programming-guides/encoding/).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.util.types import AnyValue as Value
from opentelemetry.util.types import Attributes

_REMEMBERED = 2048
"""Maximum number of cached pieces of each type."""

_SHORT = 128
"""Maximum size, in bytes, of a text whose piece is cached: an id or a template, not a stack trace."""

_INT64 = range(-(2**63), 2**63)
_LENGTH_DELIMITED = 2
_CONTINUES = 0x80
_DOUBLE = Struct("<d")


def framed(field: int, message: bytes) -> bytes:
    """Return a serialised message as a field of its parent. `field` is the field number, below 16."""
    return _before(field, len(message)) + message


@lru_cache(_REMEMBERED)
def _before(field: int, length: int) -> bytes:
    written = bytearray((field << 3 | _LENGTH_DELIMITED,))
    while length >= _CONTINUES:
        written.append(length & 0x7F | _CONTINUES)
        length >>= 7
    written.append(length)
    return bytes(written)


def attributes(field: int, attributes: Attributes) -> list[bytes]:
    """Return one piece for each attribute. `field` is the number of the field `attributes` in the parent message."""
    pieces = []
    for key, value in (attributes or {}).items():
        if isinstance(value, str) and len(raw := value.encode("utf-8", "replace")) <= _SHORT:
            pieces.append(_before_text(field, key, len(raw)) + raw)
        elif isinstance(value, int):
            pieces.append(_number(field, key, value))
        elif isinstance(value, float):
            pieces.append(_before_double(field, key) + _DOUBLE.pack(value))
        else:
            pieces.append(framed(field, key_value(key, value).SerializeToString()))
    return pieces


@lru_cache(_REMEMBERED)
def _before_text(field: int, key: str, length: int) -> bytes:
    """Return the piece of a text attribute up to the text, which is at its end.

    The cache key is the length of the text, because most texts are new and most lengths are not.
    """
    piece = framed(field, key_value(key, "-" * length).SerializeToString())
    return piece[: len(piece) - length]


@lru_cache(_REMEMBERED, typed=True)  # typed, because 1 == True
def _number(field: int, key: str, value: bool | int) -> bytes:
    return framed(field, key_value(key, value).SerializeToString())


@lru_cache(_REMEMBERED)
def _before_double(field: int, key: str) -> bytes:
    """Return the piece of a float attribute up to the number, which is at its end."""
    return framed(field, key_value(key, 0.0).SerializeToString())[: -_DOUBLE.size]


def key_values(attributes: Attributes) -> list[KeyValue]:
    """Return attributes as messages."""
    return [key_value(key, value) for key, value in (attributes or {}).items()]


def key_value(key: str, value: Value) -> KeyValue:
    """Return one attribute as a message."""
    return KeyValue(key=text(key), value=_any_value(value))


def text(value: str) -> str:
    """Return `value` with each lone surrogate, which UTF-8 cannot encode, replaced by a question mark."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _any_value(value: Value) -> AnyValue:  # noqa: PLR0911 - one for each type
    """Convert an attribute value. Values that OTLP cannot represent, such as large integers, become text."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=text(value))
        case int() if value in _INT64:
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case Sequence():
            return AnyValue(array_value=ArrayValue(values=[_any_value(item) for item in value]))
        case Mapping():
            return AnyValue(kvlist_value=KeyValueList(values=key_values(value)))
    return AnyValue(string_value=text(str(value)))
