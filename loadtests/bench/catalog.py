"""Every benchmark there is, in the order in which they run."""

from collections.abc import Sequence

from bench import dashboard
from bench.figures import Benchmark

BENCHMARKS: Sequence[Benchmark] = (dashboard.BENCHMARK,)
