"""Forwards a request to the service that serves it.

The body is unchanged. In the query, only the characters that a URL may not contain are percent-encoded. Only the
headers in `REQUEST_HEADERS` are forwarded.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request, Response
from starlette.types import Scope

from gateway.clients import Upstream, UpstreamRequest
from gateway.responses import get_version_prefix, to_client_response
from shared.auth import CurrentIdentity, Identity

REQUEST_HEADERS = frozenset(
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
"""Headers that are forwarded. With a list of allowed headers a client cannot forge internal ones (`X-Forwarded-For`, a
user id, a method override), and hop-by-hop headers are dropped. `gateway.clients` adds the request id and the
remaining time. The instrumentation of the transport adds the trace context and the baggage."""

_QUERY_SAFE = "!$%&'()*+,/:;=?@"
"""Characters of a query that are not encoded (RFC 3986 §3.4). `%` is included because the query is already encoded."""


def get_forwarded_headers(scope: Scope) -> dict[str, str]:
    """Return the headers to forward. A repeated header has its first value only, because only that is validated."""
    return {
        str(name, "latin-1"): str(value, "latin-1")
        for name, value in reversed(scope["headers"])
        if name in REQUEST_HEADERS
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """Forwards `request`. `caller` is None on routes that need no access token."""

    request: Request
    caller: Identity | None = None

    async def __call__(
        self,
        upstream: Upstream,
        template: str | None = None,
        *,
        download: bool = False,
        reshape: Callable[[bytes], bytes] | None = None,
        **parameters: object,
    ) -> Response:
        """Return the response of `upstream`, whatever its status.

        `template` is the service's path, by default that of the route; `parameters` fill it. A `download` is streamed
        and counts against the caller's concurrent downloads. `reshape` converts the body of a 200 or 201.

        Raises:
            ProblemError: There is no response to forward (`Upstream.send`).
        """
        scope = self.request.scope
        template = template or scope["route"].path_format
        request = UpstreamRequest(
            method=scope["method"],
            path=template.format_map({name: quote(str(value), safe="") for name, value in parameters.items()}),
            template=template,
            query=quote(scope["query_string"], safe=_QUERY_SAFE),
            headers=get_forwarded_headers(scope),
            body=await self.request.body(),
        )
        if download and self.caller:
            response = await upstream.download(request, user_id=self.caller.user_id)
        else:
            response = await upstream.send(request)
        if reshape and response.status in {HTTPStatus.OK, HTTPStatus.CREATED}:
            response = replace(response, body=reshape(response.body))
        return to_client_response(response, prefix=get_version_prefix(self.request), path=scope["path"])


async def forward_for_caller(request: Request, caller: CurrentIdentity) -> Forward:
    """Return the forwarder of a request with a valid access token."""
    return Forward(request=request, caller=caller)


async def forward_for_anyone(request: Request) -> Forward:
    """Return the forwarder of a request that needs no access token."""
    return Forward(request=request)


ForwardDep = Annotated[Forward, Depends(forward_for_caller)]
PublicForwardDep = Annotated[Forward, Depends(forward_for_anyone)]
