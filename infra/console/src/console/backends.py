"""Reading from Jaeger, Loki and Mailpit, in either mode the same APIs."""

from collections.abc import Sequence
from typing import Any

import httpx

from console.failures import FailedError
from console.logs import LogLine, lines_by_span
from console.stack import Stack
from console.tree import Tree

_SECOND_NS = 1_000_000_000
_MICROSECOND_NS = 1_000
_BEFORE_NS, _AFTER_NS = 60 * _SECOND_NS, 300 * _SECOND_NS  # how far around a trace its lines are looked for
_MOST_LINES = 2_000


class Backends:
    """One HTTP client for all three."""

    def __init__(self, *, stack: Stack, client: httpx.AsyncClient) -> None:
        self._stack = stack
        self._client = client

    async def tree(self, trace_id: str) -> Tree | None:
        """Return the trace as far as it has arrived, None when nothing of it has."""
        answer = await self._get(f"{self._stack.jaeger}/api/traces/{trace_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        traces = _json(answer)["data"]
        return Tree.from_jaeger(traces[0]) if traces and traces[0]["spans"] else None

    async def log_lines(self, tree: Tree) -> dict[str, list[LogLine]]:
        """Return the trace's log lines by the id of their span."""
        params = {
            "query": f'{{service_name=~".+"}} | trace_id="{tree.trace_id}"',
            "start": tree.start * _MICROSECOND_NS - _BEFORE_NS,
            "end": tree.end * _MICROSECOND_NS + _AFTER_NS,
            "limit": _MOST_LINES,
            "direction": "forward",
        }
        answer = await self._get(f"{self._stack.loki}/loki/api/v1/query_range", params)
        return lines_by_span(_json(answer)["data"]["result"])

    async def said(self, event: str, *, service: str, since_ns: int) -> bool:
        """Whether a service has written this line since then."""
        params = {"query": f'{{service_name="{service}"}}', "start": since_ns, "limit": _MOST_LINES}
        answer = await self._get(f"{self._stack.loki}/loki/api/v1/query_range", params)
        streams = _json(answer)["data"]["result"]
        return any(line == event for stream in streams for _, line in stream["values"])

    async def emails(self, address: str) -> Sequence[dict[str, Any]]:
        """Return Mailpit's summaries of what was sent to an address, the oldest first."""
        answer = await self._get(f"{self._stack.mailpit}/api/v1/search", {"query": f'to:"{address}"'})
        messages: list[dict[str, Any]] = _json(answer)["messages"]
        return list(reversed(messages))

    async def _get(self, url: str, params: dict[str, Any] | None = None) -> httpx.Response:
        try:
            return await self._client.get(url, params=params)
        except httpx.TransportError as error:
            host = f"{httpx.URL(url).scheme}://{httpx.URL(url).netloc.decode()}"
            raise FailedError(f"nothing answers at {host} ({error or type(error).__name__}): run make up") from error


def _json(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json()
    raise FailedError(f"{answer.request.url} answered {answer.status_code}: {answer.text[:200]}")
