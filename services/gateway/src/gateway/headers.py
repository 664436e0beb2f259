"""Which of a client's headers reach the services."""

from starlette.types import Scope

HEADERS_TO_SERVICES = frozenset(
    {
        b"accept",
        b"accept-language",
        b"authorization",
        b"content-type",
        b"idempotency-key",
        b"if-match",
        b"if-none-match",
    }
)
"""A list of what may pass, so that no client can forge what services say among themselves (`X-Forwarded-For`, a user
id, a method override) and no hop-by-hop header goes further than its hop. The trace context, baggage and the request id
are carried on by `gateway.clients`, after they were read and judged here."""


def from_client(scope: Scope) -> dict[str, str]:
    """What is passed on of a request's headers; of several with one name the first, which is the one judged here."""
    return {
        str(name, "latin-1"): str(value, "latin-1")
        for name, value in reversed(scope["headers"])
        if name in HEADERS_TO_SERVICES
    }
