"""Reads from Jaeger, Loki and Mailpit. Their APIs are the same in both modes."""

import time
from collections.abc import Sequence
from typing import Any

import httpx

from console.failures import FailedError
from console.logs import LogRecord, log_records_by_span
from console.stack import Stack
from console.tree import Tree
from console.waiting import CompletionDetector, until

_SECOND_NS = 1_000_000_000
_MICROSECOND_NS = 1_000
_BEFORE_NS, _AFTER_NS = 60 * _SECOND_NS, 300 * _SECOND_NS
"""Log records of a trace are searched from this time before its start until this time after its end."""

MAX_LOG_RECORDS = 2_000
"""Maximum number of log records that are read with one query."""


class Backends:
    """Client of the three APIs."""

    def __init__(self, *, stack: Stack, client: httpx.AsyncClient) -> None:
        self._stack = stack
        self._client = client

    async def get_tree(self, trace_id: str) -> Tree | None:
        """Return the spans of the trace that have arrived, None if there are none."""
        response = await self._get(f"{self._stack.jaeger}/api/traces/{trace_id}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        traces = _read_json(response)["data"]
        return Tree.from_jaeger(traces[0]) if traces and traces[0]["spans"] else None

    async def wait_for_trace(self, trace_id: str, detector: CompletionDetector, *, timeout_s: float) -> Tree:
        """Return the trace when it is complete. Raises FailedError after the timeout."""

        async def completed() -> Tree | None:
            tree = await self.get_tree(trace_id)
            return tree if tree and detector.record(tree, time.monotonic()) else None

        return await until(completed, timeout_s, f"an incomplete trace {trace_id} at {self._stack.jaeger}")

    async def get_log_records(self, tree: Tree) -> dict[str, list[LogRecord]]:
        """Return the trace's log records by span id, at most the first `MAX_LOG_RECORDS`."""
        params = {
            "query": f'{{service_name=~".+"}} | trace_id="{tree.trace_id}"',
            "start": tree.start * _MICROSECOND_NS - _BEFORE_NS,
            "end": tree.end * _MICROSECOND_NS + _AFTER_NS,
            "limit": MAX_LOG_RECORDS,
            "direction": "forward",
        }
        response = await self._get(f"{self._stack.loki}/loki/api/v1/query_range", params)
        return log_records_by_span(_read_json(response)["data"]["result"])

    async def has_logged_fault(self, *, service: str, kind: str, target: str, since_ns: int) -> bool:
        """Return whether a service has logged since `since_ns` that its calls to `target` have this fault now."""
        params = {"query": f'{{service_name="{service}"}}', "start": since_ns, "limit": MAX_LOG_RECORDS}
        response = await self._get(f"{self._stack.loki}/loki/api/v1/query_range", params)
        streams = _read_json(response)["data"]["result"]
        return any(f"{kind} to {target}" in stream["stream"].get("faults", "") for stream in streams)

    async def get_emails(self, address: str) -> Sequence[dict[str, Any]]:
        """Return Mailpit's summaries of the emails to an address, the oldest first."""
        response = await self._get(f"{self._stack.mailpit}/api/v1/search", {"query": f'to:"{address}"'})
        messages: list[dict[str, Any]] = _read_json(response)["messages"]
        return list(reversed(messages))

    async def _get(self, url: str, params: dict[str, Any] | None = None) -> httpx.Response:
        try:
            return await self._client.get(url, params=params)
        except httpx.TransportError as error:
            host = f"{httpx.URL(url).scheme}://{httpx.URL(url).netloc.decode()}"
            raise FailedError(f"cannot connect to {host} ({error or type(error).__name__}): run make up") from error


def _read_json(response: httpx.Response) -> Any:
    if not response.is_success:
        raise FailedError(f"GET {response.request.url} got {response.status_code}: {response.text[:200]}")
    try:
        return response.json()
    except ValueError:
        raise FailedError(
            f"GET {response.request.url} got no JSON, so another server listens there: check HOPLINE_JAEGER_URL, "
            "HOPLINE_LOKI_URL and HOPLINE_MAILPIT_URL"
        ) from None
