"""Decodes the OTLP message in an HTTP request: size limit, decompression, and protobuf or JSON.

Protocol: https://opentelemetry.io/docs/specs/otlp/#otlphttp. In JSON, ids are hexadecimal, unlike protobuf's own
JSON mapping, which expects base64.
"""

import base64
import zlib
from typing import Final, TypeAlias, TypeVar

import orjson
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from starlette.requests import Request

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

_ID_FIELDS = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})
_ZLIB_OR_GZIP = 32 + zlib.MAX_WBITS

MessageT = TypeVar("MessageT", bound=Message)
Json: TypeAlias = "str | int | float | list[Json] | dict[str, Json] | None"


class RejectedError(Exception):
    """The request is rejected. `status` is the HTTP status; the message contains the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def read_message(request: Request, kind: type[MessageT], *, limit: int) -> MessageT:
    """Decode the body as a message of type `kind`.

    Raises:
        RejectedError: 400 if it cannot be decoded, 413 if it exceeds `limit` bytes before or after decompression,
            415 for another content type or content encoding.
    """
    content_type = media_type(request)
    if content_type not in (PROTOBUF, JSON):
        raise RejectedError(415, f"content type {content_type!r}: expected {PROTOBUF} or {JSON}")
    body = _decompressed(request, await _whole_body(request, limit), limit)
    try:
        return kind.FromString(body) if content_type == PROTOBUF else _from_json(body, kind)
    except (DecodeError, json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise RejectedError(400, f"the body is not an {kind.__name__}: {error}") from error


def media_type(request: Request) -> str:
    """Return the content type without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _whole_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise RejectedError(413, f"more than {limit} bytes")
    return bytes(body)


def _decompressed(request: Request, body: bytes, limit: int) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise RejectedError(415, f"content encoding {encoding!r}: expected gzip or deflate")
    inflater = zlib.decompressobj(wbits=_ZLIB_OR_GZIP)
    try:
        plain = inflater.decompress(body, limit)
    except zlib.error as error:
        raise RejectedError(400, f"content encoding {encoding}: {error}") from error
    if inflater.unconsumed_tail:
        raise RejectedError(413, f"more than {limit} bytes after decompression")
    if not inflater.eof:
        raise RejectedError(400, f"content encoding {encoding}: the body ends too early")
    if inflater.unused_data:
        raise RejectedError(400, f"content encoding {encoding}: bytes after the end of the compressed data")
    return plain


def _from_json(body: bytes, kind: type[MessageT]) -> MessageT:
    document = _with_base64_ids(orjson.loads(body))
    if not isinstance(document, dict):
        raise TypeError("expected a JSON object")
    return json_format.ParseDict(document, kind(), ignore_unknown_fields=True)


def _with_base64_ids(value: Json) -> Json:
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode()
            if key in _ID_FIELDS and isinstance(item, str)
            else _with_base64_ids(item)
            for key, item in value.items()
        }
    return value
