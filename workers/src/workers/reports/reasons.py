"""Why there is no report, in words for its user: an error's own text names our machines."""

from workers.errors import DependencyAway

_AWAY = "A part of the shop that the report needs was away for too long. Please ask for a new one."
_UNEXPECTED = "Something unexpected went wrong, and was written down. Please ask for a new one, perhaps a shorter one."


def reason_of(error: str) -> str:
    """The reason for an error as `workers.spans.describe` words it."""
    return _AWAY if error.startswith(DependencyAway.__name__) else _UNEXPECTED
