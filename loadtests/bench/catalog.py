"""Every benchmark there is, in the order in which they run."""

from collections.abc import Sequence

from bench import dashboard, jobs, orders, push, relay, reports, telemetry
from bench.figures import Benchmark

BENCHMARKS: Sequence[Benchmark] = (
    dashboard.BENCHMARK,
    orders.BENCHMARK,
    push.BENCHMARK,
    relay.BENCHMARK,
    jobs.BENCHMARK,
    reports.BENCHMARK,
    telemetry.BENCHMARK,
)
