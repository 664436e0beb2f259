"""Forwarding a request to the service that serves it: its body as bytes, its query and listed headers unchanged."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Request, Response

from gateway.answers import prefix_of, to_client
from gateway.clients import Upstream
from gateway.headers import from_client
from shared.tokens import CurrentIdentity, Identity

_QUERY = "!$%&'()*+,/:;=?@"
"""Characters of a query that stay (RFC 3986 §3.4), percent signs included: it is encoded already."""


class Forward:
    """Forwards one request; `caller` is None on routes that need no token."""

    def __init__(self, request: Request, caller: Identity | None = None) -> None:
        self._request = request
        self._caller = caller

    async def __call__(
        self,
        upstream: Upstream,
        template: str | None = None,
        *,
        download: bool = False,
        reshape: Callable[[bytes], bytes] | None = None,
        **parameters: object,
    ) -> Response:
        """Return the response of `upstream`, whatever its status; raises what `Upstream.send` raises.

        `template` is the service's path, by default that of the route; `parameters` fill it. A `download` is streamed
        and counts against the caller's concurrent downloads. `reshape` converts the body of a 200 or 201.
        """
        scope = self._request.scope
        template = template or scope["route"].path_format
        answer = await upstream.send(
            scope["method"],
            template.format_map({name: quote(str(value), safe="") for name, value in parameters.items()}),
            template=template,
            query=quote(scope["query_string"], safe=_QUERY),
            headers=from_client(scope),
            body=await self._request.body(),
            reader=self._caller.user_id if download and self._caller else None,
        )
        if reshape and answer.status in {200, 201}:
            answer = replace(answer, body=reshape(answer.body))
        return to_client(answer, prefix=prefix_of(self._request), path=scope["path"])


async def forward_for_caller(request: Request, caller: CurrentIdentity) -> Forward:
    """Forward with a verified access token; raises what `current_identity` raises."""
    return Forward(request, caller)


async def forward_for_anyone(request: Request) -> Forward:
    """Forward without asking for an access token."""
    return Forward(request)


ForwardDep = Annotated[Forward, Depends(forward_for_caller)]
PublicForwardDep = Annotated[Forward, Depends(forward_for_anyone)]
