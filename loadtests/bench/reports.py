"""Reports on many orders: rows per second and memory, as CSV and as PDF.

The processes are real: the orders service with its relay, the worker that handles the event of the request, and the
report worker, which reads the orders page by page. Only the users service, which issues tokens, is a fake.
"""

import asyncio
import sys
import time
from pathlib import Path
from statistics import median
from uuid import uuid4

import asyncpg
import httpx

from bench.dashboard import open_fakes
from bench.figures import Benchmark, Effort, Figure, at_most
from bench.jobs import open_worker
from bench.orders import open_orders
from bench.processes import Running
from bench.stage import Stage
from testkit.tokens import TokenIssuer

ORDERS = 100_000
MAX_MB = 150
_TIMEOUT_S = 600.0
_PERIOD = {"from": "2026-06-01", "to": "2026-06-30"}
_INSERT_ORDERS = """
    WITH placed AS (
        INSERT INTO customer_order (id, user_id, status, total_cents, currency, created_at)
        SELECT gen_random_uuid(), gen_random_uuid(), 'shipped', 3870, 'EUR',
               timestamptz '2026-06-01Z' + make_interval(secs => n * 30 * 86400.0 / $1)
        FROM generate_series(0, $1 - 1) AS n
        RETURNING id
    )
    INSERT INTO order_item (order_id, sku, position, name, quantity, unit_price_cents)
    SELECT placed.id, item.sku, item.position, item.name, 1, 1290
    FROM placed, (SELECT sku, name, row_number() OVER (ORDER BY sku) AS position FROM product LIMIT 3) AS item
"""
"""Orders of three items, spread over the 30 days of the period."""


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Create one report after another. The peak memory is that of the report worker, over all reports."""
    issuer = TokenIssuer()
    fakes = await open_fakes(stage, issuer)
    database_url, orders = await stage.open_database("orders"), effort.amount(ORDERS)
    connection = await asyncpg.connect(database_url)
    await connection.execute(_INSERT_ORDERS, orders)
    await connection.execute("ANALYZE")
    await connection.close()
    store = {"OBJECT_STORE_URL": f"file://{stage.folder}/objects"}
    service = await open_orders(stage, fakes, database_url, REDIS_URL=await stage.open_valkey(), **store)
    jobs = await stage.open_database("workers")
    urls = {"ORDERS_URL": service.url, **store}
    await open_worker(stage, fakes, jobs, **urls)
    report_worker = await open_worker(stage, fakes, jobs, settings="ReportWorkerSettings", **urls)
    headers = issuer.headers(uuid4(), role="admin", lifetime=3600)
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=10) as admin:
        idle_mb = _peak_mb(report_worker)
        rates = {
            file_format: [orders / await _create_report(admin, file_format) for _ in range(effort.rounds)]
            for file_format in ("csv", "pdf")
        }
        peak_mb = _peak_mb(report_worker)
    return [
        Figure(name="CSV", value=median(rates["csv"]), unit="orders/s"),
        Figure(name="PDF", value=median(rates["pdf"]), unit="orders/s"),
        *(
            [
                Figure(name="peak memory of the worker", value=peak_mb, unit="MB", target=at_most(MAX_MB)),
                Figure(name="before the first report", value=idle_mb, unit="MB"),
            ]
            if sys.platform == "linux"
            else []
        ),
    ]


async def _create_report(admin: httpx.AsyncClient, file_format: str) -> float:
    """Create a report. Return the seconds from the request until the report is done."""
    began = time.perf_counter()
    requested = await admin.post("/reports", json={"kind": "orders", "format": file_format, **_PERIOD})
    report = requested.raise_for_status().json()
    async with asyncio.timeout(_TIMEOUT_S):
        while report["status"] not in {"done", "failed"}:
            await asyncio.sleep(0.05)
            report = (await admin.get(f"/reports/{report['id']}")).raise_for_status().json()
    if report["status"] == "failed":
        raise RuntimeError(f"the {file_format} report failed: {report['error']}")
    return time.perf_counter() - began


def _peak_mb(process: Running) -> float:
    """Return the peak resident memory in 10⁶ bytes, which Linux records; 0 on other systems."""
    if sys.platform != "linux":
        return 0.0
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1_000_000


BENCHMARK = Benchmark(name="reports", measures="reports on many orders of three items, from the request on", run=run)
