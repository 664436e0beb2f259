"""What anybody may hand in with a request and have carried on, through rows and frames, to the last hop."""

from shared.tracing import SYNTHETIC

MEMBER_BYTES = 64
"""One member of the baggage; ours is 22."""

TRACESTATE_BYTES = 512
"""What W3C's Trace Context asks everybody to carry at least (§3.3.1.5)."""

_MEMBERS = frozenset((SYNTHETIC.encode(),))
_BAGGAGE, _TRACESTATE = b"baggage", b"tracestate"


def bound_context(headers: dict[bytes, bytes]) -> None:
    """Leave of the baggage in `headers` what Hopline knows, and of the tracestate as many whole members as fit."""
    if _BAGGAGE in headers:
        headers[_BAGGAGE] = _known(headers[_BAGGAGE])
    if len(headers.get(_TRACESTATE, b"")) > TRACESTATE_BYTES:
        headers[_TRACESTATE] = headers[_TRACESTATE][: TRACESTATE_BYTES + 1].rpartition(b",")[0]


def _known(baggage: bytes) -> bytes:
    known = {}
    for member in baggage.split(b","):
        name = member.partition(b"=")[0].strip()
        if name in _MEMBERS and len(member) <= MEMBER_BYTES:
            known[name] = member
    return b",".join(known.values())
