"""All benchmarks, in the order in which they run."""

from collections.abc import Sequence

from bench import dashboard, jobs, json_responses, orders, pages, push, relay, reports, sockets, telemetry
from bench.figures import Benchmark

BENCHMARKS: Sequence[Benchmark] = (
    dashboard.BENCHMARK,
    orders.BENCHMARK,
    push.BENCHMARK,
    relay.BENCHMARK,
    jobs.BENCHMARK,
    reports.BENCHMARK,
    pages.BENCHMARK,
    sockets.BENCHMARK,
    telemetry.BENCHMARK,
    json_responses.BENCHMARK,
)
