"""The telemetry that a process exports. Collectors that are down, slow or rejecting do not affect requests."""

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
from testkit.collector import Collector, CollectorMode, running_collector
from testkit.gunicorn import gunicorn, responds
from testkit.waiting import eventually

QUEUE = 2048
"""Capacity of the SDK's queues (OTEL_BSP_MAX_QUEUE_SIZE)."""

APPLICATION = """
import os
from contextlib import asynccontextmanager
import structlog
from fastapi import APIRouter
from opentelemetry import trace
from shared.web.app import build_app
from shared.config import ServiceSettings, load_settings
from shared.telemetry.spans import get_tracer

router = APIRouter()
log, tracer = structlog.get_logger(), get_tracer("hello")

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
async def run_service(folder: Path, endpoint: str, **environment: str) -> AsyncIterator[tuple[int, httpx.AsyncClient]]:
    """Run the service under gunicorn; yield the pid of its master and a client."""
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
        await eventually(lambda: responds(client))
        yield process.pid, client


class TestUnreachableBackend:
    @pytest.fixture(params=["dead", CollectorMode.REJECTING, CollectorMode.HANGING])
    async def endpoint(self, request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Collector | None]]:
        async with AsyncExitStack() as stack:
            if request.param == "dead":
                yield f"http://127.0.0.1:{free_port()}", None
            else:
                collector = await stack.enter_async_context(running_collector(request.param))
                yield collector.url, collector

    async def test_process_serves_and_stops_with_bounded_queues(
        self, tmp_path: Path, endpoint: tuple[str, Collector | None]
    ) -> None:
        url, collector = endpoint
        async with run_service(tmp_path, url) as (master, client):
            if collector:
                await eventually(lambda: collector.requests)
            served = await asyncio.gather(*(client.get("/hello") for _ in range(50)))
            assert {response.status_code for response in served} == {200}
            assert max((await client.get(f"/burst/{2 * QUEUE}")).json()) <= QUEUE
            assert collector is None or not collector.spans()
            psutil.Process(master).send_signal(signal.SIGTERM)
            await eventually(lambda: not psutil.pid_exists(master) or has_ended(master))


class TestSlowBackend:
    async def test_process_serves_and_drops_only_what_exceeds_the_queues(self, tmp_path: Path) -> None:
        async with (
            running_collector(CollectorMode.SLOW) as collector,
            run_service(tmp_path, collector.url) as (_, client),
        ):
            assert max((await client.get(f"/burst/{2 * QUEUE}")).json()) <= QUEUE
            await eventually(
                lambda: collector.traces and collector.logs and collector.metrics,
                what="a slow export of each signal",
            )
            served = await asyncio.gather(*(client.get("/hello") for _ in range(50)))
            assert {response.status_code for response in served} == {200}
            collector.mode = CollectorMode.NORMAL
            await client.get("/marked")
            await eventually(lambda: "marked" in {span.name for span in collector.spans()})
            await eventually(lambda: "marked" in {line.body.string_value for line in collector.log_records()})
            await eventually(lambda: "/marked" in list_measured_routes(collector))
            many = [line for line in collector.log_records() if line.body.string_value == "one_of_many"]
            assert len(many) < 2 * QUEUE
        reported = (tmp_path / "log").read_text().count("Queue full")
        assert 0 < reported < 5  # once in 20 s, not for each dropped record


UNRESOLVED = """
import asyncio, socket, threading
from opentelemetry import trace
from shared.telemetry import setup as telemetry
from shared.config import ServiceSettings, load_settings

socket.getaddrinfo = lambda *arguments, **options: threading.Event().wait()
telemetry.FLUSH_S = 0.1

async def main():
    telemetry.configure_telemetry(service="hello", settings=load_settings(ServiceSettings))
    async with telemetry.flush_telemetry_at_exit():
        trace.get_tracer("hello").start_span("one").end()

asyncio.run(main())
print("ended")
"""


class TestUnresolvableBackend:
    async def test_process_ends_when_the_resolver_hangs(self) -> None:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", UNRESOLVED, env=environment, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(60):
                printed, _ = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        assert (printed, process.returncode) == (b"ended\n", 0)


class TestBackend:
    async def test_metrics_have_service_instance_and_exemplars(self, tmp_path: Path) -> None:
        async with (
            running_collector() as collector,
            run_service(tmp_path, collector.url, WEB_CONCURRENCY="2") as (
                _,
                client,
            ),
        ):

            async def have_both_served() -> bool:
                async with httpx.AsyncClient(base_url=client.base_url) as new_connection:  # perhaps to the other worker
                    pids.add((await new_connection.get("/hello")).json()["pid"])
                return len(pids) == 2

            pids: set[int] = set()
            await eventually(have_both_served)

            def list_instances() -> set[str]:
                return {
                    resource["service.instance.id"]
                    for resource, metric in collector.resource_metrics()
                    if metric.name == "http.server.request.duration"
                }

            await eventually(lambda: len(list_instances()) == 2, what="the durations of both processes")
            expected = {"http.server.active_requests", "hopline.event_loop.delay"}
            await eventually(lambda: expected <= {metric.name for _, metric in collector.resource_metrics()})
            assert {
                (resource["service.name"], resource["service.namespace"])
                for resource, _ in collector.resource_metrics()
            } == {("hello", "hopline")}
            await eventually(lambda: list_exemplar_traces(collector) & {span.trace_id for span in collector.spans()})

    @pytest.mark.parametrize("provider", ["sdk_tracer_provider", "lean"])
    async def test_only_traces_are_exported_when_the_other_exporters_are_none(
        self, tmp_path: Path, provider: str
    ) -> None:
        none = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", "OTEL_PYTHON_TRACER_PROVIDER": provider}
        async with running_collector() as collector, run_service(tmp_path, collector.url, **none) as (_, client):
            await client.get("/hello")
            await eventually(collector.spans)
        assert not collector.metrics
        assert not collector.logs

    async def test_nothing_is_exported_when_the_sdk_is_disabled(self, tmp_path: Path) -> None:
        async with running_collector() as collector:
            async with run_service(tmp_path, collector.url, OTEL_SDK_DISABLED="true") as (_, client):
                response = await client.get("/hello")
                assert response.headers["traceresponse"].endswith("-00")
                traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                response = await client.get("/hello", headers={"traceparent": traceparent})
                assert "traceresponse" not in response.headers, "a span was created in this trace"
            assert collector.requests == 0


class TestLogLevel:
    async def test_signal_to_the_master_toggles_debug(self, tmp_path: Path) -> None:
        def reported(event: str) -> int:
            return (tmp_path / "log").read_text().count(f'"event":"{event}"')

        async with run_service(tmp_path, "") as (master, client):
            for changes, greeted in ((1, 1), (2, 1)):
                psutil.Process(master).send_signal(signal.SIGUSR1)
                await eventually(lambda n=changes: reported("log_level_changed") == n)  # type: ignore[misc]
                await client.get("/hello")
                assert reported("greeted") == greeted


def has_ended(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def list_measured_routes(collector: Collector) -> set[str]:
    """Return the routes whose durations have arrived."""
    return {
        item.value.string_value
        for _, metric in collector.resource_metrics()
        if metric.name == "http.server.request.duration"
        for point in metric.histogram.data_points
        for item in point.attributes
        if item.key == "http.route"
    }


def list_exemplar_traces(collector: Collector) -> set[bytes]:
    """Return the traces of the exemplars of durations."""
    return {
        exemplar.trace_id
        for _, metric in collector.resource_metrics()
        if metric.name == "http.server.request.duration"
        for exemplar in _exemplars(metric)
    }


def _exemplars(metric: Metric) -> list[Any]:
    return [exemplar for point in metric.histogram.data_points for exemplar in point.exemplars]
