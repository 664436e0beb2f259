"""Calls that one service answers alone, as a table's rows become routes: nothing is parsed on the way.

A row says what FastAPI needs to document the call. Path and query parameters are checked here, because a path is built
of them; bodies are only described: the service judges them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.responses import JSONResponse, StreamingResponse

from gateway.answers import prefix_of, to_client
from gateway.dependencies import Service, upstreams
from gateway.headers import from_client
from gateway.limits.credentials import limit_credentials
from gateway.openapi import WRONG_FIELD, body_of, header, problems
from gateway.routes.direct import DirectRoute
from shared.tokens import current_identity, identity_of

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

_QUERY = "!$%&'()*+,/:;=?@"
"""What may stand in a query as it is (RFC 3986 §3.4), percent signs included: it is encoded already."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One public call. `path` is the same on both sides, below the version's prefix here and the root there.

    `service_path` is the service's own where it differs. `parameters` are functions whose arguments are the path's and
    the query's; `problems` says when which status comes. `reshape` makes an older version's body of a good answer's.
    A call with `file_types` answers with a file of one of these, which is passed on as it comes.
    """

    name: str
    method: str
    path: str
    to: Service
    answer: Any
    summary: str
    status: int = 200
    body: type[BaseModel] | None = None
    body_type: str = JSON
    parameters: Sequence[Callable[..., None]] = ()
    header_parameters: Sequence[dict[str, Any]] = ()
    answer_headers: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[int, str] = field(default_factory=dict)
    for_anybody: bool = False
    takes_credentials: bool = False
    service_path: str = ""
    file_types: Sequence[str] = ()
    reshape: Callable[[bytes], bytes] | None = None


def pass_through_router(calls: Sequence[Call], *, deprecated: bool | None = None) -> APIRouter:
    """A router with one route for each call, which the document calls `deprecated` or says nothing of it."""
    router = APIRouter(route_class=DirectRoute, deprecated=deprecated)
    for call in calls:
        _add(router, call)
    return router


def bodies_of(calls: Sequence[Call]) -> list[type[BaseModel]]:
    """The request bodies that the routes of these calls describe."""
    return [call.body for call in calls if call.body]


def _add(router: APIRouter, call: Call) -> None:
    callers = [] if call.for_anybody else [Depends(current_identity)]
    limits = [Depends(limit_credentials)] if call.takes_credentials else []
    expected = {} if call.for_anybody else {401: "No valid access token"}
    if call.parameters or call.body:
        expected[422] = WRONG_FIELD
    answered: dict[str, Any] = {"headers": {name: header(text) for name, text in call.answer_headers.items()}}
    if call.file_types:
        answered["content"] = {name: {"schema": {"type": "string", "format": "binary"}} for name in call.file_types}
    described: dict[str, Any] = {"requestBody": body_of(call.body, call.body_type)} if call.body else {}
    if call.for_anybody:
        described["security"] = []
    router.add_api_route(
        call.path,
        _endpoint(call),
        methods=[call.method],
        name=call.name,
        operation_id=call.name,
        summary=call.summary,
        description=f"Answered by {call.to}.",
        tags=[call.path.split("/")[1]],
        status_code=call.status,
        response_model=call.answer,
        response_class=StreamingResponse if call.file_types else JSONResponse,
        responses={call.status: answered, **problems({**expected, **call.problems})},
        dependencies=[*callers, *limits, *(Depends(parameter) for parameter in call.parameters)],
        openapi_extra={"parameters": list(call.header_parameters), **described},
    )


def _endpoint(call: Call) -> Callable[..., Awaitable[Response]]:
    template = call.service_path or call.path

    async def pass_through(request: Request) -> Response:
        path = template.format_map({name: quote(value, safe="") for name, value in request.path_params.items()})
        answer = (
            await upstreams(request)
            .of(call.to)
            .send(
                call.method,
                path,
                template=template,
                query=quote(request.scope["query_string"], safe=_QUERY),
                headers=from_client(request.scope),
                body=await request.body(),
                reader=(await identity_of(request.scope)).user_id if call.file_types else None,
            )
        )
        if call.reshape and answer.status == call.status:
            answer = replace(answer, body=call.reshape(answer.body))
        return to_client(answer, prefix=prefix_of(request), path=request.scope["path"])

    return pass_through
