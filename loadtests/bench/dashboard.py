"""`GET /v2/dashboard`: Hopline with all requests traced, compared with a textbook gateway and a bare fan-out."""

import asyncio
from collections.abc import Mapping, Sequence
from statistics import median

import httpx
import orjson

from bench.configurations import DROP_INS, HTTPX_HTTPTOOLS, OTEL_LEAN, STANDARD
from bench.cores import Core
from bench.figures import Benchmark, Effort, Figure, at_least, at_most
from bench.load import Load
from bench.processes import Running
from bench.rivals import Rival, measure_in_turn, ratios
from bench.stage import Stage
from bench.standins import USER_ID
from testkit.tokens import TokenIssuer

CONNECTIONS = 16
EXPORT_PAUSE_S = 1.0
"""Spans are exported every half second (shared.telemetry.setup)."""
CONFIGURATIONS = {
    "standard": STANDARD,
    "otel-lean": OTEL_LEAN,
    "httpx-httptools": HTTPX_HTTPTOOLS,
    "drop-ins": DROP_INS,
}


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Start all gateways with the same fake services, and measure them in turn."""
    issuer = TokenIssuer()
    headers = issuer.headers(USER_ID, lifetime=3600)
    standins = await open_standins(stage, issuer)
    upstream = {"UPSTREAM_URL": standins.url}
    textbook = Rival(
        name="textbook", server=await stage.asgi("bench.gateways.textbook:create_app", environment=upstream)
    )
    bare = Rival(name="bare", server=await stage.module("bench.gateways.bare", environment=upstream, core=Core.SERVER))
    standard, otel_lean, httpx_httptools, drop_ins = hopline = [
        Rival(name=name, server=await open_gateway(stage, standins, **configuration))
        for name, configuration in CONFIGURATIONS.items()
    ]
    rivals = [textbook, *hopline, bare]
    await _verify_equal_bodies(rivals, headers)
    await measure_in_turn(rivals, Load(path="/v2/dashboard", headers=headers, connections=CONNECTIONS), effort)
    spans = await _spans(standins) / sum(1 + rival.requests for rival in hopline)
    return [
        *_compared(standard, textbook, bare, throughput=4, share=16),
        *_compared(drop_ins, textbook, bare, throughput=6, share=25),
        _gain(otel_lean, standard),
        _gain(httpx_httptools, standard),
        _gain(drop_ins, standard),
        *(figure for rival in rivals for figure in rival.figures()),
        Figure(name="Hopline: spans", value=spans, unit="exported/request"),
    ]


def _compared(ours: Rival, textbook: Rival, bare: Rival, *, throughput: float, share: float) -> list[Figure]:
    """Return the figures of one configuration, with their targets."""
    return [
        Figure(
            name=f"{ours.name} / textbook, throughput",
            value=median(ratios(ours, textbook, lambda outcome: outcome.per_second)),
            unit="×",
            target=at_least(throughput),
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
            target=at_least(share),
        ),
    ]


def _gain(ours: Rival, standard: Rival) -> Figure:
    """Return the gain in throughput over the standard packages; a drop-in needs 15 %."""
    gained = 100 * (median(ratios(ours, standard, lambda outcome: outcome.per_second)) - 1)
    return Figure(name=f"{ours.name}: gain over standard", value=gained, unit="%", target=at_least(15))


async def open_standins(stage: Stage, issuer: TokenIssuer) -> Running:
    """Start fakes of the three services and the receiver of telemetry. They trust `issuer` and return its token."""
    environment = {
        "JWKS": orjson.dumps(issuer.jwks).decode(),
        "SERVICE_TOKEN": issuer.issue(USER_ID, role="service", lifetime=3600),
    }
    return await stage.module("bench.standins", environment=environment, core=Core.LOAD)


async def open_gateway(stage: Stage, standins: Running, **environment: str) -> Running:
    """Start Hopline's gateway with the fake services, to which it also sends its telemetry."""
    return await stage.service(
        "gateway",
        environment={
            "USERS_URL": standins.url,
            "ORDERS_URL": standins.url,
            "NOTIFICATIONS_URL": standins.url,
            "JWKS_URL": f"{standins.url}/.well-known/jwks.json",
            "REDIS_URL": await stage.valkey(),
            "OTEL_EXPORTER_OTLP_ENDPOINT": standins.url,
            "LOG_FORMAT": "json",
            **environment,
        },
    )


async def _verify_equal_bodies(rivals: Sequence[Rival], headers: Mapping[str, str]) -> None:
    """Raise RuntimeError unless all gateways return the same body."""
    async with httpx.AsyncClient(timeout=10, headers=dict(headers)) as client:
        responses = [
            (await client.get(f"{rival.server.url}/v2/dashboard")).raise_for_status().json() for rival in rivals
        ]
    if any(response != responses[0] for response in responses):
        raise RuntimeError("The gateways return different bodies, so they cannot be compared.")


async def _spans(standins: Running) -> float:
    """Return the number of spans from the gateways, when no more arrive; dropped spans are missing."""
    async with httpx.AsyncClient(base_url=standins.url) as client:
        before, now = -1, 0
        while now > before:
            await asyncio.sleep(EXPORT_PAUSE_S)
            before, now = now, (await client.get("/spans")).json().get("gateway", 0)
    return now


BENCHMARK = Benchmark(
    name="dashboard",
    measures="GET /v2/dashboard, three parallel calls, all requests traced",
    run=run,
)
