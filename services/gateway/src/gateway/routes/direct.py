"""Routes on the straight way: FastAPI describes them, and has nothing to find out when they are asked for."""

from collections.abc import Awaitable, Callable
from inspect import isclass, iscoroutinefunction, signature
from typing import Any, NamedTuple

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class DirectRoute(APIRoute):
    """A route that calls its dependencies and its endpoint by itself where all of them take the request and no more.

    FastAPI looks anew at each request for what it could be made of: query, headers, cookies, generators, scopes.
    Where a gateway parses nothing, there is nothing to find (docs/performance.md). A route with parameters of its
    own, with a body to parse or to bound, with a dependency of a dependency, the same one twice or one that only so
    many may have at once is FastAPI's as ever, and so is one that a router includes.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        if self.max_body_size is None and _is_direct(self.dependant):
            self.app = _direct(self.dependant)


class _Step(NamedTuple):
    """A dependency: `request` is what it calls the request, `name` what the endpoint calls its value, if they do."""

    call: Callable[..., Awaitable[Any]]
    request: str | None
    name: str | None


def _direct(asked: Dependant) -> ASGIApp:
    endpoint: Callable[..., Awaitable[Response]] = asked.call  # type: ignore[assignment]  # `_is_direct` has looked
    given = asked.request_param_name
    steps = [_Step(each.call, each.request_param_name, each.name) for each in asked.dependencies if each.call]

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        values: dict[str, Any] = {given: request} if given else {}
        for step in steps:
            value = await (step.call(**{step.request: request}) if step.request else step.call())
            if step.name:
                values[step.name] = value
        response = await endpoint(**values)
        await response(scope, receive, send)

    return serve


def _is_direct(endpoint: Dependant) -> bool:
    answer = signature(endpoint.call).return_annotation if endpoint.call else None
    return (
        isinstance(answer, type)
        and issubclass(answer, Response)
        and _takes_the_request_alone(endpoint)
        and all(_takes_the_request_alone(each) and not each.dependencies for each in endpoint.dependencies)
        and len({each.call for each in endpoint.dependencies}) == len(endpoint.dependencies)  # FastAPI calls each once
    )


def _takes_the_request_alone(asked: Dependant) -> bool:
    call = asked.call
    called = None if isclass(call) else getattr(call, "__call__", None)  # noqa: B004 - a class is made
    return (iscoroutinefunction(call) or iscoroutinefunction(called)) and not any(
        (
            asked.path_params,
            asked.query_params,
            asked.header_params,
            asked.cookie_params,
            asked.body_params,
            asked.websocket_param_name,
            asked.http_connection_param_name,
            asked.response_param_name,
            asked.background_tasks_param_name,
            asked.security_scopes_param_name,
            asked.concurrency,
        )
    )
