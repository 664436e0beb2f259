"""Responses shared by the read APIs."""

from typing import Any

import orjson
from starlette.responses import Response


class JsonResponse(Response):
    """A JSON response, encoded by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the content. Raises TypeError if JSON cannot represent it."""
        return orjson.dumps(content)
