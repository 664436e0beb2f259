"""Reading log lines back through Loki's query API."""

from dataclasses import dataclass

import httpx

from testkit.stack import Stack

_MOST_LINES = 2_000
_PATIENCE_S = 30


@dataclass(frozen=True)
class StoredLine:
    """One line: who wrote it, its event, and its attributes by Loki's names."""

    service: str
    event: str
    labels: dict[str, str]


async def lines_of(stack: Stack, trace_id: str) -> list[StoredLine]:
    """The lines of a trace so far."""
    return await _lines(stack, f'{{service_namespace="hopline"}} | trace_id="{trace_id}"')


async def lines_since(stack: Stack, service: str, since_ns: int) -> list[StoredLine]:
    """What a service has written since then, nanoseconds since the epoch."""
    return await _lines(stack, f'{{service_name="{service}"}}', start=since_ns)


async def _lines(stack: Stack, query: str, **bounds: int) -> list[StoredLine]:
    params: dict[str, str | int] = {"query": query, "limit": _MOST_LINES, **bounds}
    async with httpx.AsyncClient(base_url=stack.loki, timeout=_PATIENCE_S) as loki:
        streams = (
            (await loki.get("/loki/api/v1/query_range", params=params)).raise_for_status().json()["data"]["result"]
        )
    return [
        StoredLine(stream["stream"]["service_name"], event, stream["stream"])
        for stream in streams
        for _, event in stream["values"]
    ]
