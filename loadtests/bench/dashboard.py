"""`GET /v2/dashboard`: Hopline with all requests traced, compared with a textbook gateway and a bare fan-out."""

import asyncio
from collections.abc import Mapping, Sequence
from statistics import median

import httpx
import orjson

from bench.alternatives import Alternative, measure_in_turn, ratios
from bench.configurations import DROP_INS, HTTPX_HTTPTOOLS, OTEL_LEAN, STANDARD
from bench.cores import Core
from bench.fakes import USER_ID
from bench.figures import Benchmark, Effort, Figure, at_least, at_most
from bench.load import Load
from bench.processes import Running
from bench.stage import Stage
from testkit.tokens import TokenIssuer

CONNECTIONS = 16
EXPORT_PAUSE_S = 1.0
"""Longer than the interval at which the gateways export spans, half a second (shared.telemetry.setup)."""
CONFIGURATIONS = {
    "standard": STANDARD,
    "otel-lean": OTEL_LEAN,
    "httpx-httptools": HTTPX_HTTPTOOLS,
    "drop-ins": DROP_INS,
}


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Start all gateways with the same fake services, and measure the gateways in turn."""
    issuer = TokenIssuer()
    headers = issuer.headers(USER_ID, lifetime=3600)
    fakes = await open_fakes(stage, issuer)
    upstream = {"UPSTREAM_URL": fakes.url}
    textbook = Alternative(
        name="textbook", server=await stage.start_asgi("bench.gateways.textbook:create_app", environment=upstream)
    )
    bare = Alternative(
        name="bare", server=await stage.start_module("bench.gateways.bare", environment=upstream, core=Core.SERVER)
    )
    standard, otel_lean, httpx_httptools, drop_ins = hopline = [
        Alternative(name=name, server=await open_gateway(stage, fakes, **configuration))
        for name, configuration in CONFIGURATIONS.items()
    ]
    alternatives = [textbook, *hopline, bare]
    await _verify_equal_bodies(alternatives, headers)
    await measure_in_turn(alternatives, Load(path="/v2/dashboard", headers=headers, connections=CONNECTIONS), effort)
    requests = sum(1 + gateway.requests for gateway in hopline)  # the first one is that of `_verify_equal_bodies`
    spans_per_request = await _count_exported_spans(fakes) / requests
    return [
        *_comparison_figures(standard, textbook, bare, min_throughput_ratio=4, min_percent_of_bare=16),
        *_comparison_figures(drop_ins, textbook, bare, min_throughput_ratio=6, min_percent_of_bare=25),
        _gain(otel_lean, standard),
        _gain(httpx_httptools, standard),
        _gain(drop_ins, standard),
        *(figure for alternative in alternatives for figure in alternative.figures()),
        Figure(name="Hopline: spans", value=spans_per_request, unit="exported/request"),
    ]


def _comparison_figures(
    ours: Alternative,
    textbook: Alternative,
    bare: Alternative,
    *,
    min_throughput_ratio: float,
    min_percent_of_bare: float,
) -> list[Figure]:
    """Return the figures of one configuration relative to the other gateways, with their targets."""
    return [
        Figure(
            name=f"{ours.name} / textbook, throughput",
            value=median(ratios(ours, textbook, lambda outcome: outcome.per_second)),
            unit="×",
            target=at_least(min_throughput_ratio),
        ),
        Figure(
            name=f"{ours.name} / textbook, p99",
            value=median(ratios(ours, textbook, lambda outcome: outcome.p99_ms)),
            unit="×",
            target=at_most(0.333),
        ),
        Figure(
            name=f"{ours.name} / bare, throughput",
            value=100 * median(ratios(ours, bare, lambda outcome: outcome.per_second)),
            unit="%",
            target=at_least(min_percent_of_bare),
        ),
    ]


def _gain(ours: Alternative, standard: Alternative) -> Figure:
    """Return the gain in throughput over the standard packages. Its target is 15 % for each drop-in and for both."""
    percent = 100 * (median(ratios(ours, standard, lambda outcome: outcome.per_second)) - 1)
    return Figure(name=f"{ours.name}: gain over standard", value=percent, unit="%", target=at_least(15))


async def open_fakes(stage: Stage, issuer: TokenIssuer) -> Running:
    """Start fakes of the three services and the receiver of telemetry.

    They publish the keys of `issuer`, and return a token of `issuer` to workers that log in.
    """
    environment = {
        "JWKS": orjson.dumps(issuer.jwks).decode(),
        "SERVICE_TOKEN": issuer.issue(USER_ID, role="service", lifetime=3600),
    }
    return await stage.start_module("bench.fakes", environment=environment, core=Core.LOAD)


async def open_gateway(stage: Stage, fakes: Running, **environment: str) -> Running:
    """Start Hopline's gateway with the fake services, to which it also sends its telemetry."""
    return await stage.start_service(
        "gateway",
        environment={
            "USERS_URL": fakes.url,
            "ORDERS_URL": fakes.url,
            "NOTIFICATIONS_URL": fakes.url,
            "JWKS_URL": f"{fakes.url}/.well-known/jwks.json",
            "REDIS_URL": await stage.open_valkey(),
            "OTEL_EXPORTER_OTLP_ENDPOINT": fakes.url,
            "LOG_FORMAT": "json",
            **environment,
        },
    )


async def _verify_equal_bodies(gateways: Sequence[Alternative], headers: Mapping[str, str]) -> None:
    """Raise RuntimeError unless all gateways return the same body."""
    async with httpx.AsyncClient(timeout=10, headers=dict(headers)) as client:
        responses = [
            (await client.get(f"{gateway.server.url}/v2/dashboard")).raise_for_status().json() for gateway in gateways
        ]
    if any(response != responses[0] for response in responses):
        raise RuntimeError("The gateways return different bodies, so they cannot be compared.")


async def _count_exported_spans(fakes: Running) -> int:
    """Wait until the gateways export no more spans, and return their number. Dropped spans are not counted."""
    async with httpx.AsyncClient(base_url=fakes.url) as client:
        previous, received = -1, 0
        while received > previous:
            await asyncio.sleep(EXPORT_PAUSE_S)
            previous, received = received, int((await client.get("/spans")).json().get("gateway", 0))
    return received


BENCHMARK = Benchmark(
    name="dashboard",
    measures="GET /v2/dashboard, three parallel calls, all requests traced",
    run=run,
)
