"""Which of a client's headers reach the services."""

from starlette.datastructures import Headers

HEADERS_TO_SERVICES = (
    "accept",
    "accept-language",
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
)
"""A list of what may pass, so that no client can forge what services say among themselves (`X-Forwarded-For`, a user
id, a method override) and no hop-by-hop header goes further than its hop. The trace context, baggage and the request id
are carried on by `gateway.clients`, after they were read and judged here."""


def from_client(headers: Headers) -> dict[str, str]:
    """What is passed on of `headers`."""
    return {name: headers[name] for name in HEADERS_TO_SERVICES if name in headers}
