"""Answers shared by the read APIs."""

from typing import Any

import orjson
from starlette.responses import Response


class JsonResponse(Response):
    """JSON by orjson: every answer here is built for it, nothing needs a fallback."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode; raises TypeError for what JSON does not know."""
        return orjson.dumps(content)
