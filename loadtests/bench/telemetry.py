"""The cost of telemetry: a service without telemetry, with traces only, with all telemetry, and with sampling."""

import asyncio
from collections.abc import Mapping
from statistics import median

from bench.alternatives import Alternative, measure_in_turn, ratios
from bench.configurations import DROP_INS, STANDARD
from bench.dashboard import CONNECTIONS, open_fakes, open_gateway
from bench.fakes import USER_ID
from bench.figures import Benchmark, Effort, Figure, Target, at_least
from bench.load import Load
from bench.orders import build_order_load, open_stocked_orders
from bench.stage import Stage
from testkit.tokens import TokenIssuer

OFF, TRACES, ALL, SAMPLED = "off", "traces only", "all telemetry", "10 % of traces"
SETTINGS: Mapping[str, Mapping[str, str]] = {
    OFF: {"OTEL_SDK_DISABLED": "true"},
    TRACES: {"OTEL_LOGS_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
    ALL: {},
    SAMPLED: {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
}
"""OpenTelemetry's variables for each level of telemetry. Log records on standard output are always written."""

CONFIGURATIONS = (("standard", STANDARD, at_least(60)), ("drop-ins", DROP_INS, at_least(70)))
"""The configurations with their target: the throughput with all telemetry, in per cent of that without telemetry."""


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Measure a dashboard and an order in each configuration, in turn on a server for each level of telemetry."""
    issuer = TokenIssuer()
    fakes = await open_fakes(stage, issuer)
    dashboard_load = Load(path="/v2/dashboard", headers=issuer.headers(USER_ID, lifetime=3600), connections=CONNECTIONS)
    figures: list[Figure] = []
    for name, configuration, target in CONFIGURATIONS:
        dashboards = [
            Alternative(
                name=f"{name}, dashboard, {level}",
                server=await open_gateway(stage, fakes, **configuration, **settings),
            )
            for level, settings in SETTINGS.items()
        ]
        await measure_in_turn(dashboards, dashboard_load, effort)
        placements = [
            Alternative(
                name=f"{name}, order, {level}",
                server=await open_stocked_orders(stage, fakes, **configuration, **settings),
            )
            for level, settings in SETTINGS.items()
        ]
        await measure_in_turn(placements, build_order_load(issuer), effort)
        figures += [*_figures(dashboards, target), *_figures(placements, target)]
        for alternative in (*dashboards, *placements):
            await asyncio.to_thread(alternative.server.stop)
    return figures


def _figures(alternatives: list[Alternative], target: Target) -> list[Figure]:
    """Return the throughput of each alternative relative to that without telemetry, and the CPU times.

    `alternatives` have the order of SETTINGS. The target is for all telemetry.
    """
    off, *others = alternatives
    by_level = dict(zip(SETTINGS, alternatives, strict=True))
    return [
        *(
            Figure(
                name=f"{other.name}: kept",
                value=100 * median(ratios(other, off, lambda outcome: outcome.per_second)),
                unit="% of off",
                target=target if other is by_level[ALL] else None,
            )
            for other in others
        ),
        *(
            Figure(name=f"{alternative.name}: CPU time", value=median(alternative.cpu_ms), unit="ms/request")
            for alternative in alternatives
        ),
    ]


BENCHMARK = Benchmark(
    name="telemetry", measures="the cost of traces, logs and metrics for a page and an order", run=run
)
