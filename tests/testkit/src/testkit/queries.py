"""The guard against N+1: a list of many rows must cost as many statements as a list of one."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from opentelemetry.trace import SpanKind

from testkit.spans import Spans

Ask = Callable[[], Awaitable[httpx.Response]]
"""Asks a service that runs in this process (`testkit.apps.serve`), once."""


class Queries:
    """Counts a request's statements, as SQLAlchemy's events did and its server span tells (`shared.statements`)."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    async def of(self, ask: Ask) -> int:
        """How many statements the request made, which must succeed."""
        return (await self._asked(ask))[1]

    async def stay_flat(self, *, few: Ask, many: Ask) -> None:
        """Fail where `many` rows cost more statements than `few`, and where they are not more rows."""
        small, for_few = await self._asked(few)
        large, for_many = await self._asked(many)
        assert len(large.content) > 2 * len(small.content), "the second list is no longer than the first"
        path = large.request.url.path
        assert for_many <= for_few, f"{path}: {for_few} statements for few rows, {for_many} for many: load them at once"
        assert for_few > 0, f"{path} asked no database"

    async def _asked(self, ask: Ask) -> tuple[httpx.Response, int]:
        self._spans.clear()
        response = await ask()
        assert response.is_success, response.text
        [served] = [span for span in self._spans.finished() if span.kind is SpanKind.SERVER]
        return response, int(str((served.attributes or {}).get("hopline.db.queries", 0)))


@pytest.fixture
def queries(spans: Spans) -> Queries:
    """`await queries.stay_flat(few=…, many=…)`."""
    return Queries(spans)


def lists_of(document: dict[str, Any]) -> set[str]:
    """The paths of an OpenAPI document whose GET answers rows: what the guard has to have seen."""
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
