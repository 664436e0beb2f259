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
"""The format of `shared.errors.problems` (RFC 9457). FastAPI would document a model as application/json."""


def document_problem(description: str) -> dict[str, Any]:
    """Return an error response for the `responses` of an operation."""
    return {"description": description, "content": {PROBLEM_MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}}


def document_header(description: str) -> dict[str, Any]:
    """Return a response header for the `headers` of one of the `responses` of an operation."""
    return {"description": description, "schema": {"type": "string"}}


def without_maximum(schema: dict[str, Any]) -> None:
    """Remove `maximum` from the schema of a field. Pass this function as its `json_schema_extra`.

    The published OpenAPI documents do not have this bound, and `make openapi` rejects stricter limits.
    """
    schema.pop("maximum")


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    422: document_problem("A parameter or a field is wrong; `errors` names it"),
    "default": document_problem("Any other problem; `type` identifies it"),
}
"""The `responses` of every application."""
