"""What telemetry costs: the same service with none of it, with its traces alone, with all of it, and sampled."""

from collections.abc import Mapping
from statistics import median

from bench.dashboard import CONNECTIONS, open_gateway, open_standins
from bench.figures import Benchmark, Effort, Figure, at_least
from bench.load import Load
from bench.orders import fill_shelves, open_orders, placing
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
"""OpenTelemetry's own variables, by what they leave. Lines on standard output are written in any case."""

KEPT = at_least(65)


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Two calls, each on four instances of its service, measured in turn."""
    issuer = TokenIssuer()
    standins = await open_standins(stage, issuer)
    database_url = await stage.postgres("orders")
    await fill_shelves(database_url)
    dashboards = [
        Rival(name=f"dashboard, {name}", server=await open_gateway(stage, standins, **settings))
        for name, settings in SETTINGS.items()
    ]
    dashboard = Load(path="/v2/dashboard", headers=issuer.headers(USER_ID, lifetime=3600), connections=CONNECTIONS)
    await measure_in_turn(dashboards, dashboard, effort)
    placements = [
        Rival(name=f"order, {name}", server=await open_orders(stage, standins, database_url, **settings))
        for name, settings in SETTINGS.items()
    ]
    await measure_in_turn(placements, placing(issuer), effort)
    return [*_kept(dashboards), *_kept(placements)]


def _kept(rivals: list[Rival]) -> list[Figure]:
    """How much of the throughput without telemetry is left with it; all of it is what is promised for."""
    off, *others = rivals
    named = dict(zip(SETTINGS, rivals, strict=True))
    return [
        *(
            Figure(
                name=f"{other.name}: kept",
                value=100 * median(ratios(other, off, lambda one: one.per_second)),
                unit="% of off",
                target=KEPT if other is named[ALL] else None,
            )
            for other in others
        ),
        *(Figure(name=f"{one.name}: processor time", value=median(one.cpu_ms), unit="ms/request") for one in rivals),
    ]


BENCHMARK = Benchmark(name="telemetry", measures="what traces, logs and metrics cost a page and an order", run=run)
