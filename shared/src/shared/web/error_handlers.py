"""Exception handlers that render every error as a problem of `shared.errors.problems`.

A separate module, so that processes without HTTP do not import FastAPI.
"""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.errors.problems import (
    BadRequestError,
    FieldError,
    ProblemError,
    UnprocessableError,
    problem_response,
)
from shared.web.media_types import JSON, is_json, unsupported_media_type
from shared.web.middleware import record_unexpected
from shared.web.routing import get_allowed_methods


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` respond to every failure with a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)


def mount_with_error_handlers(app: FastAPI, path: str, mounted: FastAPI) -> None:
    """Mount an application that shares the state, the dependency overrides and the exception handlers of `app`.

    The framework handles unexpected exceptions at the edge of each application: it sends the response of the handler
    for `Exception`, then raises them again. Call this after the exception handlers of `app` were added.
    """
    mounted.state = app.state
    mounted.dependency_overrides = app.dependency_overrides
    mounted.exception_handlers = {**app.exception_handlers, Exception: _on_exception}
    app.mount(path, mounted)


async def _on_exception(request: Request, error: Exception) -> Response:
    return problem_response(record_unexpected(error), instance=request.scope["path"])


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - registered for this class only
    return problem_response(error, instance=request.scope["path"])


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Render the exceptions of Starlette and FastAPI, such as an unknown path or a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    problem = _from_http_exception(error)
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        problem.headers["Allow"] = get_allowed_methods(request)
    return problem_response(problem, instance=request.scope["path"])


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    # FastAPI does not parse a body of another media type, and reports the whole body as invalid.
    unparsed = [
        detail for detail in error.errors() if tuple(detail["loc"]) == ("body",) and isinstance(error.body, bytes)
    ]
    if unparsed and not is_json(request):
        problem: ProblemError = unsupported_media_type(JSON)
    else:
        problem = _from_validation_error(error)
    return problem_response(problem, instance=request.scope["path"])


def _from_http_exception(error: HTTPException) -> ProblemError:
    by_status = {kind.status: kind for kind in _list_base_classes(ProblemError)}
    kind = by_status.get(error.status_code)
    if kind is None:
        phrase = HTTPStatus(error.status_code).phrase
        kind = type(
            "HttpProblem",
            (ProblemError,),
            {"status": error.status_code, "slug": phrase.lower().replace(" ", "-"), "title": phrase},
        )
    problem = kind.__new__(kind)
    # The constructors of some classes have other parameters and add headers.
    ProblemError.__init__(problem, str(error.detail or ""), headers=error.headers)
    return problem


def _list_base_classes(kind: type[ProblemError]) -> list[type[ProblemError]]:
    """Return the classes of `shared.errors.problems`, one per status, without the subclasses of services."""
    return [child for child in kind.__subclasses__() if child.__module__ == ProblemError.__module__]


def _from_validation_error(error: RequestValidationError) -> ProblemError:
    details = error.errors()
    if any(detail["type"] == "json_invalid" for detail in details):
        return BadRequestError("The body is not valid JSON", errors=[_field_error(detail) for detail in details])
    if any(detail["loc"][0] == "header" for detail in details):  # a malformed request, not invalid data
        return BadRequestError(
            "See errors for the invalid headers", errors=[_field_error(detail) for detail in details]
        )
    return UnprocessableError("See errors for the invalid fields", errors=[_field_error(detail) for detail in details])


def _field_error(detail: Mapping[str, object]) -> FieldError:
    location = detail.get("loc", ())
    parts = [str(part) for part in location] if isinstance(location, tuple | list) else []
    if detail.get("type") == "json_invalid":  # the rest of the location is an offset in the body
        parts = parts[:1]
    if parts and parts[0] in {"body", "query", "path", "header", "cookie"}:
        parts = parts[1:] or parts
    return FieldError(field=".".join(parts), message=str(detail.get("msg", "")).removeprefix("Value error, "))
