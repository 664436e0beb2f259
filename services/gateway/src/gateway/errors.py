"""Errors that the gateway raises itself. Problems of services are forwarded (`gateway.responses`).

::

    ProblemError
     ├─ BadRequestError 400 ─────┬ UnknownVersionError
     │                           ├ UnknownHostError
     │                           └ PreflightRejectedError
     ├─ UnauthorizedError 401 ──── NoSessionError
     ├─ ForbiddenError 403 ──────┬ SummaryForbiddenError
     │                           └ CrossSiteRequestError
     ├─ NotFoundError 404 ──────── TraceNotFoundError
     ├─ BadGatewayError 502 ────── UpstreamBrokenError
     ├─ UnavailableError 503 ────┬ UpstreamUnreachableError
     │                           ├ UpstreamBusyError
     │                           ├ CircuitOpenError
     │                           └ OverloadedError
     └─ GatewayTimeoutError 504 ── UpstreamTimeoutError
"""

from shared.errors.problems import (
    BadGatewayError,
    BadRequestError,
    ForbiddenError,
    GatewayTimeoutError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)


class UnknownVersionError(BadRequestError):
    """400: `API-Version` names an unknown version."""

    slug, title = "unknown-version", "Unknown API version"


class UnknownHostError(BadRequestError):
    """400: the `Host` of the request is not in `ALLOWED_HOSTS`."""

    slug, title = "unknown-host", "Unknown host"


class PreflightRejectedError(BadRequestError):
    """400: a preflight request names an origin, a method or headers that are not allowed (CORS)."""

    slug, title = "preflight-refused", "Cross-origin request not allowed"


class NoSessionError(UnauthorizedError):
    """401: the browser has no session that can be continued."""

    slug, title = "no-session", "Log in to begin a session"


class SummaryForbiddenError(ForbiddenError):
    """403: an admin requested the summary of another user's order. Notifications are visible to their user only."""

    slug, title = "summary-is-for-owners", "Only the owner of an order can read its summary"


class CrossSiteRequestError(ForbiddenError):
    """403: a page of another site may have sent the request, with the cookie of this site."""

    slug, title = "cross-site-request", "Only the shop's own page can use its session"


class TraceNotFoundError(NotFoundError):
    """404: the trace backend has no such trace, or the trace does not belong to the caller."""

    slug, title = "trace-not-found", "No such trace"


class UpstreamBrokenError(BadGatewayError):
    """502: a service disconnected, or its response cannot be forwarded."""

    slug, title = "upstream-broken", "A service behind the gateway failed"


class UpstreamUnreachableError(UnavailableError):
    """503: the gateway cannot connect to a service, which is probably restarting."""

    slug, title = "upstream-unreachable", "A service behind the gateway is unreachable"


class UpstreamBusyError(UnavailableError):
    """503: too many calls to a service are in flight or waiting."""

    slug, title = "upstream-busy", "A service behind the gateway is busy"


class CircuitOpenError(UnavailableError):
    """503: a service has been failing, so it is not called until a probe succeeds."""

    slug, title = "circuit-open", "A service behind the gateway is failing"


class OverloadedError(UnavailableError):
    """503: this gateway process has too many requests. Another process may have capacity."""

    slug, title = "overloaded", "The gateway is overloaded"


class UpstreamTimeoutError(GatewayTimeoutError):
    """504: a service did not respond in time. It may have processed the request nevertheless."""

    slug, title = "upstream-timeout", "A service behind the gateway did not respond in time"
