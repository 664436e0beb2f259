"""`GET /v2/dashboard`: ours with every request traced, against the textbook's and against the least it can take."""

import asyncio
from collections.abc import Mapping, Sequence
from statistics import median

import httpx
import orjson

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
"""Spans are exported every half second (shared.telemetry)."""


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Start all three over the same stand-ins; measure them in turn."""
    issuer = TokenIssuer()
    headers = issuer.headers(USER_ID, lifetime=3600)
    standins = await open_standins(stage, issuer)
    upstream = {"UPSTREAM_URL": standins.url}
    ours, textbook, bare = rivals = [
        Rival(name="ours", server=await open_gateway(stage, standins)),
        Rival(name="textbook", server=await stage.asgi("bench.gateways.textbook:create_app", environment=upstream)),
        Rival(name="bare", server=await stage.module("bench.gateways.bare", environment=upstream, core=Core.SERVER)),
    ]
    await _agree(rivals, headers)
    await measure_in_turn(rivals, Load(path="/v2/dashboard", headers=headers, connections=CONNECTIONS), effort)
    return [
        Figure(
            name="ours / textbook, throughput",
            value=median(ratios(ours, textbook, lambda one: one.per_second)),
            unit="×",
            target=at_least(5),
        ),
        Figure(
            name="ours / textbook, p99",
            value=median(ratios(ours, textbook, lambda one: one.p99_ms)),
            unit="×",
            target=at_most(0.333),
        ),
        Figure(
            name="ours / bare, throughput",
            value=100 * median(ratios(ours, bare, lambda one: one.per_second)),
            unit="%",
            target=at_least(40),
        ),
        *(figure for rival in rivals for figure in rival.figures()),
        Figure(name="ours: spans", value=await _spans(standins) / (1 + ours.requests), unit="exported/request"),
    ]


async def open_standins(stage: Stage, issuer: TokenIssuer) -> Running:
    """What stands for the three services and receives telemetry; it trusts `issuer`, whose token workers get."""
    environment = {
        "JWKS": orjson.dumps(issuer.jwks).decode(),
        "SERVICE_TOKEN": issuer.issue(USER_ID, role="service", lifetime=3600),
    }
    return await stage.module("bench.standins", environment=environment, core=Core.LOAD)


async def open_gateway(stage: Stage, standins: Running, **environment: str) -> Running:
    """Our gateway over these stand-ins, to which it also sends its telemetry."""
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


async def _agree(rivals: Sequence[Rival], headers: Mapping[str, str]) -> None:
    """See that all of them give the same answer before anything is compared."""
    async with httpx.AsyncClient(timeout=10, headers=dict(headers)) as client:
        answers = [(await client.get(f"{rival.server.url}/v2/dashboard")).raise_for_status().json() for rival in rivals]
    if any(answer != answers[0] for answer in answers):
        raise RuntimeError("the gateways answer differently: there is nothing to compare")


async def _spans(standins: Running) -> float:
    """How many spans of ours have arrived, once no more do: what is dropped under load would show here."""
    async with httpx.AsyncClient(base_url=standins.url) as client:
        before, now = -1, 0
        while now > before:
            await asyncio.sleep(EXPORT_PAUSE_S)
            before, now = now, (await client.get("/spans")).json().get("gateway", 0)
    return now


BENCHMARK = Benchmark(
    name="dashboard",
    measures="GET /v2/dashboard, three services asked at once, every request traced",
    run=run,
)
