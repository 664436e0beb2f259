"""The role of a span in communication between processes, and its peer.

Attribute names are those of OpenTelemetry's semantic conventions for messaging, databases and HTTP.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

_KINDS: Final = {
    SpanMessage.SPAN_KIND_INTERNAL: "internal",
    SpanMessage.SPAN_KIND_SERVER: "server",
    SpanMessage.SPAN_KIND_CLIENT: "client",
    SpanMessage.SPAN_KIND_PRODUCER: "producer",
    SpanMessage.SPAN_KIND_CONSUMER: "consumer",
}
_CROSSING: Final = frozenset({"server", "client", "producer", "consumer"})
_PEER_ATTRIBUTES: Final = frozenset(
    {
        "messaging.destination.name",
        "db.system.name",
        "db.namespace",
        "network.protocol.name",
        "service.peer.name",
        "server.address",
        "server.port",
    }
)


class Role(NamedTuple):
    """`kind` is Jaeger's name, "" if unspecified; `peer` is the name of the other side of the communication.

    `peer_kind` is "channel" (a stream, queue or socket), "store" (a database or mail server), "service" (as the
    caller names it) or "host" (`address:port`; for a server its own address). Both are "" for a span without
    communication or without such attributes.
    """

    kind: str
    peer_kind: str
    peer: str


def kind_of(message: SpanMessage) -> str:
    """Return Jaeger's name of the span kind, "" if unspecified."""
    return _KINDS.get(message.kind, "")


def role_of(message: SpanMessage) -> Role:
    """Return the role. Spans with the same role share one object."""
    kind = kind_of(message)
    if kind not in _CROSSING:
        return _role(kind, "", "")
    reported = {
        pair.key: pair.value.string_value or str(pair.value.int_value or "")
        for pair in message.attributes
        if pair.key in _PEER_ATTRIBUTES
    }
    return _role(kind, *_peer(reported))


def _peer(reported: Mapping[str, str]) -> tuple[str, str]:
    if channel := reported.get("messaging.destination.name"):
        return "channel", channel
    if system := reported.get("db.system.name"):
        return "store", f"{system} {reported.get('db.namespace', '').partition('|')[0]}".rstrip()
    if service := reported.get("service.peer.name"):
        return "service", service
    if reported.get("network.protocol.name") == "smtp":
        return "store", "smtp"
    if address := reported.get("server.address"):
        return "host", f"{address}:{reported.get('server.port', '')}".rstrip(":")
    return "", ""


@lru_cache(maxsize=1_024)
def _role(kind: str, peer_kind: str, peer: str) -> Role:
    return Role(kind, peer_kind, peer)
