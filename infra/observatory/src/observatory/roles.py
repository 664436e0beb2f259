"""What a span does at the border of its process, and who is on the other side.

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
_TELLING: Final = frozenset(
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
    """`kind` as Jaeger writes it, "" when unspecified; `peer` names whom a span that crosses the border speaks with.

    `peer_kind` is "channel" (a stream, queue or socket), "store" (a database, a mail server), "service" (by the name
    the caller has for it) or "host" (`address:port`; of a server the one it was asked at). Both are "" for a span that
    stays inside or does not say.
    """

    kind: str
    peer_kind: str
    peer: str


def kind_of(message: SpanMessage) -> str:
    """Return the kind as Jaeger writes it, "" when unspecified."""
    return _KINDS.get(message.kind, "")


def role_of(message: SpanMessage) -> Role:
    """Return the role; one object serves all spans that have the same."""
    kind = kind_of(message)
    if kind not in _CROSSING:
        return _role(kind, "", "")
    told = {
        pair.key: pair.value.string_value or str(pair.value.int_value or "")
        for pair in message.attributes
        if pair.key in _TELLING
    }
    return _role(kind, *_peer(told))


def _peer(told: Mapping[str, str]) -> tuple[str, str]:
    if channel := told.get("messaging.destination.name"):
        return "channel", channel
    if system := told.get("db.system.name"):
        return "store", f"{system} {told.get('db.namespace', '').partition('|')[0]}".rstrip()
    if service := told.get("service.peer.name"):
        return "service", service
    if told.get("network.protocol.name") == "smtp":
        return "store", "smtp"
    if address := told.get("server.address"):
        return "host", f"{address}:{told.get('server.port', '')}".rstrip(":")
    return "", ""


@lru_cache(maxsize=1_024)
def _role(kind: str, peer_kind: str, peer: str) -> Role:
    return Role(kind, peer_kind, peer)
