"""Parts of the services' OpenAPI documents: the problem format of error responses, and response headers."""

from typing import Any, Final

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "trace_id"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["https://hopline.example/problems/out-of-stock"]},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The path of the request"},
        "trace_id": {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "description": "The trace that shows what happened",
        },
        "errors": {
            "type": "array",
            "description": "The invalid fields, on validation errors",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
"""As `shared.errors` renders it (RFC 9457), written out: FastAPI would place a model under application/json."""


def problem(description: str) -> dict[str, Any]:
    """Return an error response of an operation's `responses`."""
    return {"description": description, "content": {PROBLEM_MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}}


def header(description: str) -> dict[str, Any]:
    """Return a response header of an operation's `responses`."""
    return {"description": description, "schema": {"type": "string"}}


def without_maximum(schema: dict[str, Any]) -> None:
    """Leave the upper bound out of a published schema (`json_schema_extra`): a published schema is never narrowed."""
    schema.pop("maximum")


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    422: problem("A parameter or a field is wrong; `errors` names it"),
    "default": problem("Any other problem, told apart by its `type`"),
}
"""The `responses` of a whole application."""
