"""The cost of telemetry: a service without telemetry, with traces only, with all telemetry, and with sampling."""

import asyncio
from collections.abc import Mapping
from statistics import median

from bench.configurations import DROP_INS, STANDARD
from bench.dashboard import CONNECTIONS, open_gateway, open_standins
from bench.figures import Benchmark, Effort, Figure, Target, at_least
from bench.load import Load
from bench.orders import build_order_load, open_stocked_orders
from bench.rivals import Rival, measure_in_turn, ratios
from bench.stage import Stage
from bench.standins import USER_ID
from testkit.tokens import TokenIssuer

OFF, TRACES, ALL, SAMPLED = "off", "traces only", "all of it", "10 % of traces"
SETTINGS: Mapping[str, Mapping[str, str]] = {
    OFF: {"OTEL_SDK_DISABLED": "true"},
    TRACES: {"OTEL_LOGS_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
    ALL: {},
    SAMPLED: {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
}
"""OpenTelemetry's variables for each level of telemetry. Log lines on standard output are always written."""

CONFIGURATIONS = (("standard", STANDARD, at_least(60)), ("drop-ins", DROP_INS, at_least(70)))
"""The configurations, and their target: throughput with all telemetry, in per cent of that without."""


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Measure two requests of each configuration, each on four instances of its service, in turn."""
    issuer = TokenIssuer()
    standins = await open_standins(stage, issuer)
    dashboard = Load(path="/v2/dashboard", headers=issuer.headers(USER_ID, lifetime=3600), connections=CONNECTIONS)
    figures: list[Figure] = []
    for name, configuration, target in CONFIGURATIONS:
        dashboards = [
            Rival(
                name=f"{name}, dashboard, {left}",
                server=await open_gateway(stage, standins, **configuration, **settings),
            )
            for left, settings in SETTINGS.items()
        ]
        await measure_in_turn(dashboards, dashboard, effort)
        placements = [
            Rival(
                name=f"{name}, order, {left}",
                server=await open_stocked_orders(stage, standins, **configuration, **settings),
            )
            for left, settings in SETTINGS.items()
        ]
        await measure_in_turn(placements, build_order_load(issuer), effort)
        figures += [*_throughput_share(dashboards, target), *_throughput_share(placements, target)]
        for rival in (*dashboards, *placements):
            await asyncio.to_thread(rival.server.stop)
    return figures


def _throughput_share(rivals: list[Rival], target: Target) -> list[Figure]:
    """Return the throughput of each rival relative to no telemetry. The target is for all telemetry."""
    off, *others = rivals
    named = dict(zip(SETTINGS, rivals, strict=True))
    return [
        *(
            Figure(
                name=f"{other.name}: kept",
                value=100 * median(ratios(other, off, lambda outcome: outcome.per_second)),
                unit="% of off",
                target=target if other is named[ALL] else None,
            )
            for other in others
        ),
        *(
            Figure(name=f"{rival.name}: processor time", value=median(rival.cpu_ms), unit="ms/request")
            for rival in rivals
        ),
    ]


BENCHMARK = Benchmark(
    name="telemetry", measures="the cost of traces, logs and metrics for a page and an order", run=run
)
