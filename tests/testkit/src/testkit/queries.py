"""A check against N+1 queries: the number of statements must not grow with the number of rows."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from opentelemetry.trace import SpanKind

from testkit.spans import Spans

SendRequest = Callable[[], Awaitable[httpx.Response]]
"""Sends one request to a service that runs in this process (`testkit.apps.serve`)."""


class Queries:
    """Counts the statements of a request, from the attribute of its SERVER span (`shared.db.statements`)."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    async def count(self, send: SendRequest) -> int:
        """Return the number of statements of a request, which must succeed."""
        return (await self._measure(send))[1]

    async def assert_constant(self, *, few: SendRequest, many: SendRequest) -> None:
        """Fail if `many` needs more statements than `few`, or does not return more rows."""
        small, for_few = await self._measure(few)
        large, for_many = await self._measure(many)
        assert len(large.content) > 2 * len(small.content), "the second list is not longer than the first"
        path = large.request.url.path
        assert for_many <= for_few, (
            f"{path}: {for_few} statements for few rows, {for_many} for many: load all rows with one statement"
        )
        assert for_few > 0, f"{path} executed no statement"

    async def _measure(self, send: SendRequest) -> tuple[httpx.Response, int]:
        self._spans.clear()
        response = await send()
        assert response.is_success, response.text
        [served] = [span for span in self._spans.finished() if span.kind is SpanKind.SERVER]
        return response, int(str((served.attributes or {}).get("hopline.db.queries", 0)))


@pytest.fixture
def queries(spans: Spans) -> Queries:
    """Return the check, for `await queries.assert_constant(few=…, many=…)`."""
    return Queries(spans)


def list_paths(document: dict[str, Any]) -> set[str]:
    """Return the paths of an OpenAPI document that return a list to GET. The check must cover all of them."""
    schemas = document["components"]["schemas"]

    def is_list(schema: dict[str, Any]) -> bool:
        if "$ref" in schema:
            return any(map(is_list, schemas[schema["$ref"].rpartition("/")[2]].get("properties", {}).values()))
        return schema.get("type") == "array"

    found = set()
    for path, calls in document["paths"].items():
        contents = calls.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        if is_list(contents.get("application/json", {}).get("schema", {})):
            found.add(path)
    return found
