"""What can go wrong between the client and the services.

::

    Problem
     ├─ BadRequest 400 ─┬ UnknownVersion
     │                  ├ UnknownHost
     │                  └ PreflightRefused
     ├─ Forbidden 403 ── SummaryIsForOwners
     ├─ BadGateway 502 ── UpstreamBroken: hung up half way, or answered what nobody can read
     ├─ Unavailable 503 ─┬ UpstreamUnreachable: nobody listens there
     │                   ├ UpstreamBusy: it has as many callers as it can bear
     │                   ├ CircuitOpen: it has been failing and is left alone
     │                   └ Overloaded: the gateway itself has too much to do
     └─ GatewayTimeout 504 ── UpstreamTimeout: no whole answer in its time

An upstream's own problem is not among them: it is passed on as it is (`gateway.answers.Refused`).
"""

from shared.errors import BadGateway, BadRequest, Forbidden, GatewayTimeout, Unavailable


class UnknownVersion(BadRequest):
    """400: `API-Version` names a version that there is not."""

    slug, title = "unknown-version", "There is no such version of the API"


class UnknownHost(BadRequest):
    """400: the request's `Host` is not among `ALLOWED_HOSTS`."""

    slug, title = "unknown-host", "This host is not served here"


class PreflightRefused(BadRequest):
    """400: a page of another origin asks whether it may do what it may not."""

    slug, title = "preflight-refused", "This call is not open to the page's origin"


class SummaryIsForOwners(Forbidden):
    """403: an admin asked for the summary of somebody's order; notifications are read by whom they are for."""

    slug, title = "summary-is-for-owners", "A summary is shown to the order's owner"


class UpstreamBroken(BadGateway):
    """502: a service was reached and gave no answer that can be passed on."""

    slug, title = "upstream-broken", "A service behind the gateway failed"


class UpstreamUnreachable(Unavailable):
    """503: no connection to a service; it is being restarted, most likely."""

    slug, title = "upstream-unreachable", "A service behind the gateway is away"


class UpstreamBusy(Unavailable):
    """503: too many calls to a service are being made or waiting; one more would only wait longer."""

    slug, title = "upstream-busy", "A service behind the gateway is busy"


class CircuitOpen(Unavailable):
    """503: a service has been failing, and is not asked until a probe succeeds; it saw nothing of this call."""

    slug, title = "circuit-open", "A service behind the gateway is failing"


class Overloaded(Unavailable):
    """503: this gateway process serves as many requests as it can; another one may have room."""

    slug, title = "overloaded", "The gateway has too much to do"


class UpstreamTimeout(GatewayTimeout):
    """504: a service did not answer in time. What it was asked to do may have happened."""

    slug, title = "upstream-timeout", "A service behind the gateway did not answer in time"
