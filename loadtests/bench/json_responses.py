"""JSON responses: one page of orders by the json module, orjson, pydantic's serialiser and FastAPI's response model."""

import json
from dataclasses import replace
from statistics import median

import httpx

from bench.alternatives import Alternative, ratios
from bench.figures import Benchmark, Effort, Figure
from bench.load import Load
from bench.stage import Stage

WAYS = ("json_module", "orjson_only", "pydantic_only", "response_model")


async def run(stage: Stage, effort: Effort) -> list[Figure]:
    """Measure each way in turn, all on the same server."""
    server = await stage.start_asgi("bench.json_server:create_app", environment={})
    async with httpx.AsyncClient(base_url=server.url) as client:
        bodies = [(await client.get(f"/{way}")).raise_for_status().content for way in WAYS]
    values = [json.loads(body.replace(b"+00:00", b"Z")) for body in bodies]  # the serialisers use two notations of UTC
    if any(value != values[0] for value in values):
        raise RuntimeError("The routes return different values, so they cannot be compared.")
    alternatives = [Alternative(name=way, server=server) for way in WAYS]
    load = Load(path="", connections=8)
    for _ in range(effort.rounds):
        for alternative in alternatives:
            await alternative.measure(replace(load, path=f"/{alternative.name}"), effort)
    model = alternatives[-1]
    return [
        *(
            Figure(
                name=f"{alternative.name} / response_model, throughput",
                value=median(ratios(alternative, model, lambda outcome: outcome.per_second)),
                unit="×",
            )
            for alternative in alternatives[:-1]
        ),
        Figure(name="body", value=len(bodies[0]) / 1000, unit="kB"),
        *(figure for alternative in alternatives for figure in alternative.figures()),
    ]


BENCHMARK = Benchmark(name="json", measures="a page of orders as JSON, by four serialisers", run=run)
