"""What makes an application answer every failure as a problem of `shared.errors`.

Apart from it, so that who only raises problems, or has no application at all, does not load FastAPI.
"""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.allow import allowed_methods
from shared.errors import (
    BadRequest,
    FieldError,
    Problem,
    Unprocessable,
    problem_response,
)
from shared.media_types import JSON, is_json, unsupported


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` answer every failure as a problem. Mounted applications need it as well."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class only
    return problem_response(error, instance=request.scope["path"])


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's and FastAPI's own exceptions: unknown path, wrong method, too large a body."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    problem = _from_http_exception(error)
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        problem.headers["Allow"] = allowed_methods(request)
    return problem_response(problem, instance=request.scope["path"])


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    unread = [
        detail for detail in error.errors() if tuple(detail["loc"]) == ("body",) and isinstance(error.body, bytes)
    ]
    if unread and not is_json(request):
        problem: Problem = unsupported(JSON)
    else:
        problem = _from_validation_error(error)
    return problem_response(problem, instance=request.scope["path"])


def _from_http_exception(error: HTTPException) -> Problem:
    by_status = {kind.status: kind for kind in _kinds(Problem)}
    kind = by_status.get(error.status_code)
    if kind is None:
        phrase = HTTPStatus(error.status_code).phrase
        kind = type(
            "HttpProblem",
            (Problem,),
            {"status": error.status_code, "slug": phrase.lower().replace(" ", "-"), "title": phrase},
        )
    problem = kind.__new__(kind)
    Problem.__init__(problem, str(error.detail or ""), headers=error.headers)
    return problem


def _kinds(kind: type[Problem]) -> list[type[Problem]]:
    """Those of `shared.errors`, one per status: a service's own subclasses do not speak for a bare status."""
    return [child for child in kind.__subclasses__() if child.__module__ == Problem.__module__]


def _from_validation_error(error: RequestValidationError) -> Problem:
    details = error.errors()
    if any(detail["type"] == "json_invalid" for detail in details):
        return BadRequest("The body is not valid JSON", errors=[_field_error(detail) for detail in details])
    if any(detail["loc"][0] == "header" for detail in details):  # the protocol is broken, not the data
        return BadRequest("See errors for the headers", errors=[_field_error(detail) for detail in details])
    return Unprocessable(
        "See errors for what is wrong with each field", errors=[_field_error(detail) for detail in details]
    )


def _field_error(detail: Mapping[str, object]) -> FieldError:
    location = detail.get("loc", ())
    parts = [str(part) for part in location] if isinstance(location, tuple | list) else []
    if detail.get("type") == "json_invalid":  # its location is a character's position
        parts = parts[:1]
    if parts and parts[0] in {"body", "query", "path", "header", "cookie"}:
        parts = parts[1:] or parts
    return FieldError(field=".".join(parts), message=str(detail.get("msg", "")).removeprefix("Value error, "))
