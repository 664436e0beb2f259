"""Reads figures with Prometheus's query API, from Prometheus in Compose and from the observatory in embedded mode."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from console.failures import FailedError
from observatory.metric_tables import LABEL_TITLES, TABLES, Table

_CONCURRENT_QUERIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a table, with the values of its labels, and a figure or None for each column."""

    labels: tuple[str, ...]
    figures: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A table with its rows, sorted by their first figure, the largest first."""

    table: Table
    rows: Sequence[Row]

    @property
    def label_titles(self) -> list[str]:
        """The headings of the label columns."""
        return [LABEL_TITLES.get(label, label) for label in self.table.by]


class MetricsReader:
    """Evaluates the tables of the metrics page over the last `window_s` seconds."""

    def __init__(self, *, url: str, client: httpx.AsyncClient, window_s: float) -> None:
        self._url = url
        self._client = client
        self._window_s = window_s
        self._slots = asyncio.Semaphore(_CONCURRENT_QUERIES)

    async def read_figures(self) -> list[Figures]:
        """Return the tables that have rows.

        Raises:
            FailedError: The address cannot be reached, or a query is rejected.
        """
        async with asyncio.TaskGroup() as tasks:
            found = [tasks.create_task(self._read_table(table)) for table in TABLES]
        return [figures for task in found if (figures := task.result()).rows]

    async def _read_table(self, table: Table) -> Figures:
        columns = [await self._query(column.over(self._window_s), table.by) for column in table.columns]
        found = sorted({labels for column in columns for labels in column})
        rows = [
            Row(labels=labels, figures=_fill_shares(table, [column.get(labels) for column in columns]))
            for labels in found
        ]
        return Figures(table=table, rows=sorted(rows, key=lambda row: -(row.figures[0] or 0)))

    async def _query(self, expression: str, by: Sequence[str]) -> dict[tuple[str, ...], float]:
        async with self._slots:
            try:
                response = await self._client.get(f"{self._url}/api/v1/query", params={"query": expression})
            except httpx.TransportError as error:
                raise FailedError(_connection_error(self._url, error)) from error
        result = _read_result(response)
        values = {tuple(item["metric"].get(label, "") for label in by): float(item["value"][1]) for item in result}
        return {labels: value for labels, value in values.items() if math.isfinite(value)}


def _fill_shares(table: Table, values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return the values, with 0 for a missing share of errors if there were requests.

    Prometheus has no series of 5xx responses before the first one, so the ratio has no value.
    """
    return tuple(
        0.0 if value is None and column.unit == "share" and values[0] else value
        for column, value in zip(table.columns, values, strict=True)
    )


def _connection_error(url: str, error: Exception) -> str:
    return (
        f"cannot connect to {url} ({error or type(error).__name__}): run make up, or set HOPLINE_PROMETHEUS_URL to the "
        "address of Prometheus or of the observatory"
    )


def _read_result(response: httpx.Response) -> list[dict[str, Any]]:
    try:
        body = response.json()
        if response.is_success:
            result: list[dict[str, Any]] = body["data"]["result"]
            return result
        reason = body["error"]
    except (ValueError, KeyError, TypeError):
        reason = response.text[:200]
    raise FailedError(
        f"{response.request.url.copy_with(query=None)} got {response.status_code}: {reason}. "
        "Set HOPLINE_PROMETHEUS_URL to the address of Prometheus or of the observatory"
    )
