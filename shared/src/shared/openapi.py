"""What every service's OpenAPI document says of failures: they are problems, and not the framework's own shape."""

from typing import Any, Final

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "trace_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "trace_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
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
    """One of an operation's `responses`."""
    return {"description": description, "content": {PROBLEM_MEDIA_TYPE: {"schema": PROBLEM_SCHEMA}}}


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    422: problem("A parameter or a field is wrong; `errors` names it"),
    "default": problem("Any other problem, told apart by its `type`"),
}
"""The `responses` of a whole application."""
