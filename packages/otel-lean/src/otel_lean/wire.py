"""Serialises pieces of OTLP messages: attributes, and messages as fields of their parent. Repeated pieces are cached.

The official message classes serialise the pieces. Only the field number and the length in front of an embedded message
are written here (https://protobuf.dev/programming-guides/encoding/).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.util.types import AnyValue as Value
from opentelemetry.util.types import Attributes

_CACHED_PIECES = 2048
"""Maximum number of cached pieces of each type."""

_MAX_CACHED_TEXT_BYTES = 128
"""Maximum size of a text whose piece is cached, such as an id or a template, but not a stack trace."""

_INT64 = range(-(2**63), 2**63)
_LENGTH_DELIMITED = 2
_CONTINUES = 0x80
_DOUBLE = Struct("<d")


def frame_message(field: int, message: bytes) -> bytes:
    """Return a serialised message as a field of its parent. `field` is the field number, which must be below 16."""
    return _encode_tag_and_length(field, len(message)) + message


@lru_cache(_CACHED_PIECES)
def _encode_tag_and_length(field: int, length: int) -> bytes:
    """Return what precedes an embedded message: the tag of its field, and its length as a varint."""
    encoded = bytearray((field << 3 | _LENGTH_DELIMITED,))
    while length >= _CONTINUES:
        encoded.append(length & 0x7F | _CONTINUES)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


def encode_attributes(field: int, attributes: Attributes) -> list[bytes]:
    """Return one piece for each attribute. `field` is the number of the field `attributes` in the parent message."""
    pieces = []
    for key, value in (attributes or {}).items():
        if isinstance(value, str) and len(raw := value.encode("utf-8", "replace")) <= _MAX_CACHED_TEXT_BYTES:
            pieces.append(_encode_before_text(field, key, len(raw)) + raw)
        elif isinstance(value, int):
            pieces.append(_encode_number(field, key, value))
        elif isinstance(value, float):
            pieces.append(_encode_before_double(field, key) + _DOUBLE.pack(value))
        else:
            pieces.append(frame_message(field, create_key_value(key, value).SerializeToString()))
    return pieces


@lru_cache(_CACHED_PIECES)
def _encode_before_text(field: int, key: str, length: int) -> bytes:
    """Return the piece of a text attribute without the text, which is at the end of the piece.

    The cache key is the length of the text, because most texts are new and most lengths are not.
    """
    piece = frame_message(field, create_key_value(key, "-" * length).SerializeToString())
    return piece[: len(piece) - length]


@lru_cache(_CACHED_PIECES, typed=True)  # 1 and True are equal, but are encoded as different types
def _encode_number(field: int, key: str, value: bool | int) -> bytes:
    return frame_message(field, create_key_value(key, value).SerializeToString())


@lru_cache(_CACHED_PIECES)
def _encode_before_double(field: int, key: str) -> bytes:
    """Return the piece of a float attribute without the number, which is at the end of the piece."""
    return frame_message(field, create_key_value(key, 0.0).SerializeToString())[: -_DOUBLE.size]


def create_key_values(attributes: Attributes) -> list[KeyValue]:
    """Return attributes as messages."""
    return [create_key_value(key, value) for key, value in (attributes or {}).items()]


def create_key_value(key: str, value: Value) -> KeyValue:
    """Return one attribute as a message. A key of another type becomes text, so that its span is not lost."""
    return KeyValue(key=replace_surrogates(str(key)), value=_create_any_value(value))


def replace_surrogates(value: str) -> str:
    """Return `value` with each lone surrogate, which UTF-8 cannot encode, replaced by a question mark."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def _create_any_value(value: Value) -> AnyValue:  # noqa: PLR0911 - one for each type
    """Convert an attribute value. Values that OTLP cannot represent, such as large integers, become text."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=replace_surrogates(value))
        case int() if value in _INT64:
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case Sequence():
            return AnyValue(array_value=ArrayValue(values=[_create_any_value(item) for item in value]))
        case Mapping():
            return AnyValue(kvlist_value=KeyValueList(values=create_key_values(value)))
    return AnyValue(string_value=replace_surrogates(str(value)))
