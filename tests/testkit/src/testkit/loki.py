"""Log records read through Loki's query API."""

from dataclasses import dataclass

from testkit.apps import http_client
from testkit.stack import Stack

_MAX_RECORDS = 2_000


@dataclass(frozen=True)
class StoredRecord:
    """One log record. `labels` are its attributes by their names in Loki, such as `http_response_status_code`."""

    service: str
    event: str
    labels: dict[str, str]


async def records_of_trace(stack: Stack, trace_id: str) -> list[StoredRecord]:
    """Return the stored log records of a trace."""
    return await _query(stack, f'{{service_namespace="hopline"}} | trace_id="{trace_id}"')


async def records_since(stack: Stack, service: str, since_ns: int) -> list[StoredRecord]:
    """Return the log records of a service since a time in nanoseconds since the epoch."""
    return await _query(stack, f'{{service_name="{service}"}}', start=since_ns)


async def _query(stack: Stack, query: str, **bounds: int) -> list[StoredRecord]:
    params: dict[str, str | int] = {"query": query, "limit": _MAX_RECORDS, **bounds}
    async with http_client(stack.loki) as loki:
        response = await loki.get("/loki/api/v1/query_range", params=params)
    streams = response.raise_for_status().json()["data"]["result"]
    return [
        StoredRecord(stream["stream"]["service_name"], event, stream["stream"])
        for stream in streams
        for _, event in stream["values"]
    ]
