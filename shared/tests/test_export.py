"""What leaves a process, and what a process does when nobody takes it: nothing that a caller would notice."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from testkit.apps import free_port
from testkit.collector import Collector, Mood, running_collector
from testkit.gunicorn import answers, gunicorn
from testkit.waiting import eventually

QUEUE = 2048
"""What the SDK's queues hold (OTEL_BSP_MAX_QUEUE_SIZE)."""

APPLICATION = """
import os
from contextlib import asynccontextmanager
import structlog
from fastapi import APIRouter
from opentelemetry import trace
from shared.app import build_app
from shared.settings import ServiceSettings, load_settings
from shared.tracing import tracer_of

router = APIRouter()
log, tracer = structlog.get_logger(), tracer_of("hello")

@router.get("/hello")
async def hello() -> dict[str, int]:
    log.debug("greeted")
    return {"pid": os.getpid()}

@router.get("/burst/{number}")
async def burst(number: int) -> list[int]:
    for _ in range(number):
        tracer.start_span("one of many").end()
        log.info("one_of_many")
    [spans] = trace.get_tracer_provider()._active_span_processor._span_processors
    return [len(spans._batch_processor._queue)]

@router.get("/marked")
async def marked() -> None:
    tracer.start_span("marked").end()
    log.info("marked")

@asynccontextmanager
async def lifespan(app):
    yield

def create_app():
    settings = load_settings(ServiceSettings)
    return build_app(name="hello", settings=settings, lifespan=lifespan, routers=[router], summary="for tests")
"""


@asynccontextmanager
async def service(folder: Path, endpoint: str, **environment: str) -> AsyncIterator[tuple[int, httpx.AsyncClient]]:
    """The service under gunicorn: its master's pid and a client."""
    ours = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
    }
    async with (
        gunicorn(folder, APPLICATION, **{**ours, **environment}) as (process, url),
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        await eventually(lambda: answers(client))
        yield process.pid, client


class TestNobodyTakesIt:
    @pytest.fixture(params=["dead", Mood.REFUSING, Mood.HANGING])
    async def endpoint(self, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Collector | None]]:
        async with AsyncExitStack() as stack:
            if request.param == "dead":
                yield f"http://127.0.0.1:{free_port()}", None
            else:
                collector = await stack.enter_async_context(running_collector(request.param))
                yield collector.url, collector

    async def test_requests_are_served_memory_stays_and_the_process_ends(
        self, tmp_path: Path, endpoint: tuple[str, Collector | None]
    ) -> None:
        url, collector = endpoint
        async with service(tmp_path, url) as (master, client):
            if collector:
                await eventually(lambda: collector.asked)
            served = await asyncio.gather(*(client.get("/hello") for _ in range(50)))
            assert {response.status_code for response in served} == {200}
            assert max((await client.get(f"/burst/{2 * QUEUE}")).json()) <= QUEUE
            assert collector is None or not collector.spans()
            psutil.Process(master).send_signal(signal.SIGTERM)
            await eventually(lambda: not psutil.pid_exists(master) or has_ended(master))


class TestTakenSlowly:
    async def test_requests_are_served_what_is_too_much_is_dropped_and_the_rest_arrives(self, tmp_path: Path) -> None:
        async with running_collector(Mood.SLOW) as collector, service(tmp_path, collector.url) as (_, client):
            assert max((await client.get(f"/burst/{2 * QUEUE}")).json()) <= QUEUE
            await eventually(
                lambda: collector.traces and collector.logs and collector.metrics,
                what="an export of each signal that was taken slowly",
            )
            served = await asyncio.gather(*(client.get("/hello") for _ in range(50)))
            assert {response.status_code for response in served} == {200}
            collector.mood = Mood.WELL
            await client.get("/marked")
            await eventually(lambda: "marked" in {span.name for span in collector.spans()})
            await eventually(lambda: "marked" in {line.body.string_value for line in collector.lines()})
            await eventually(lambda: "/marked" in routes(collector))
            many = [line for line in collector.lines() if line.body.string_value == "one_of_many"]
            assert len(many) < 2 * QUEUE
        told = (tmp_path / "log").read_text().count("Queue full")
        assert 0 < told < 5  # not for each that is dropped, but once in 20 s


UNRESOLVED = """
import asyncio, socket, threading
from opentelemetry import trace
from shared import telemetry
from shared.settings import ServiceSettings, load_settings

socket.getaddrinfo = lambda *arguments, **options: threading.Event().wait()
telemetry.FLUSH_S = 0.1

async def main():
    telemetry.configure_telemetry(service="hello", settings=load_settings(ServiceSettings))
    async with telemetry.telemetry_flushed_at_exit():
        trace.get_tracer("hello").start_span("one").end()

asyncio.run(main())
print("ended")
"""


class TestNobodyKnowsItsName:
    async def test_the_process_ends(self) -> None:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", UNRESOLVED, env=environment, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(60):
                said, _ = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        assert (said, process.returncode) == (b"ended\n", 0)


class TestTaken:
    async def test_figures_name_service_and_process_and_lead_to_traces(self, tmp_path: Path) -> None:
        async with (
            running_collector() as collector,
            service(tmp_path, collector.url, WEB_CONCURRENCY="2") as (
                _,
                client,
            ),
        ):

            async def both_have_served() -> bool:
                async with httpx.AsyncClient(base_url=client.base_url) as fresh:  # perhaps to the other
                    pids.add((await fresh.get("/hello")).json()["pid"])
                return len(pids) == 2

            pids: set[int] = set()
            await eventually(both_have_served)

            def instances() -> set[str]:
                return {
                    resource["service.instance.id"]
                    for resource, metric in collector.figures()
                    if metric.name == "http.server.request.duration"
                }

            await eventually(lambda: len(instances()) == 2, what="the durations of both processes")
            expected = {"http.server.active_requests", "hopline.event_loop.delay"}
            await eventually(lambda: expected <= {metric.name for _, metric in collector.figures()})
            assert {
                (resource["service.name"], resource["service.namespace"]) for resource, _ in collector.figures()
            } == {("hello", "hopline")}
            await eventually(lambda: exemplars(collector) & {span.trace_id for span in collector.spans()})

    @pytest.mark.parametrize("provider", ["sdk_tracer_provider", "lean"])
    async def test_traces_alone(self, tmp_path: Path, provider: str) -> None:
        none = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", "OTEL_PYTHON_TRACER_PROVIDER": provider}
        async with running_collector() as collector, service(tmp_path, collector.url, **none) as (_, client):
            await client.get("/hello")
            await eventually(collector.spans)
        assert not collector.metrics
        assert not collector.logs

    async def test_nothing_where_the_sdk_is_disabled(self, tmp_path: Path) -> None:
        async with running_collector() as collector:
            async with service(tmp_path, collector.url, OTEL_SDK_DISABLED="true") as (_, client):
                response = await client.get("/hello")
                assert response.headers["traceresponse"].endswith("-00")
                theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                response = await client.get("/hello", headers={"traceparent": theirs})
                assert "traceresponse" not in response.headers, "no span was made in this trace"
            assert collector.asked == 0


class TestLogLevel:
    async def test_a_signal_to_the_master_turns_debug_on_and_off(self, tmp_path: Path) -> None:
        def told(event: str) -> int:
            return (tmp_path / "log").read_text().count(f'"event":"{event}"')

        async with service(tmp_path, "") as (master, client):
            for changes, greeted in ((1, 1), (2, 1)):
                psutil.Process(master).send_signal(signal.SIGUSR1)
                await eventually(lambda n=changes: told("log_level_changed") == n)  # type: ignore[misc]
                await client.get("/hello")
                assert told("greeted") == greeted


def has_ended(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def routes(collector: Collector) -> set[str]:
    """Those whose durations have come."""
    return {
        item.value.string_value
        for _, metric in collector.figures()
        if metric.name == "http.server.request.duration"
        for point in metric.histogram.data_points
        for item in point.attributes
        if item.key == "http.route"
    }


def exemplars(collector: Collector) -> set[bytes]:
    """The traces that durations lead to."""
    return {
        exemplar.trace_id
        for _, metric in collector.figures()
        if metric.name == "http.server.request.duration"
        for exemplar in _exemplars(metric)
    }


def _exemplars(metric: Metric) -> list[Any]:
    return [exemplar for point in metric.histogram.data_points for exemplar in point.exemplars]
