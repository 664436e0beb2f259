"""The telemetry that a process exports. A collector that is down, slow or rejecting does not affect requests."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from testkit.apps import free_port
from testkit.collector import Collector, CollectorMode, running_collector
from testkit.gunicorn import is_ready, run_gunicorn
from testkit.waiting import eventually

QUEUE_SIZE = 2048
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
async def greet() -> dict[str, int]:
    log.debug("greeted")
    return {"pid": os.getpid()}

@router.get("/burst/{number}")
async def record_many(number: int) -> int:
    for _ in range(number):
        tracer.start_span("one of many").end()
        log.info("one_of_many")
    [processor] = trace.get_tracer_provider()._active_span_processor._span_processors
    return len(processor._batch_processor._queue)

@router.get("/marked")
async def record_marked() -> None:
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
    defaults = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
    }
    async with (
        run_gunicorn(folder, APPLICATION, **{**defaults, **environment}) as (process, url),
        httpx.AsyncClient(base_url=url, timeout=30) as client,
    ):
        await eventually(lambda: is_ready(client))
        yield process.pid, client


async def assert_serves(client: httpx.AsyncClient) -> None:
    responses = await asyncio.gather(*(client.get("/hello") for _ in range(50)))
    assert {response.status_code for response in responses} == {200}


class TestUnavailableCollector:
    @pytest.fixture(params=["not running", CollectorMode.REJECTING, CollectorMode.HANGING])
    async def collector(self, request: pytest.FixtureRequest) -> AsyncIterator[Collector | None]:
        """A collector that accepts no export, or None if there is no collector."""
        if request.param == "not running":
            yield None
            return
        async with running_collector(request.param) as collector:
            yield collector

    async def test_process_serves_and_stops_with_bounded_queues(
        self, tmp_path: Path, collector: Collector | None
    ) -> None:
        url = collector.url if collector else f"http://127.0.0.1:{free_port()}"
        async with run_service(tmp_path, url) as (master, client):
            if collector:
                await eventually(lambda: collector.requests)
            await assert_serves(client)
            assert (await client.get(f"/burst/{2 * QUEUE_SIZE}")).json() <= QUEUE_SIZE
            assert collector is None or not collector.spans(), "the collector must not accept an export"
            psutil.Process(master).send_signal(signal.SIGTERM)
            await eventually(lambda: not psutil.pid_exists(master) or has_ended(master))


class TestSlowCollector:
    async def test_process_serves_and_drops_only_records_that_exceed_the_queues(self, tmp_path: Path) -> None:
        async with (
            running_collector(CollectorMode.HANGING) as collector,  # so that no export ends during the burst
            run_service(tmp_path, collector.url) as (_, client),
        ):
            assert (await client.get(f"/burst/{2 * QUEUE_SIZE}")).json() <= QUEUE_SIZE
            collector.mode = CollectorMode.SLOW
            collector.release()
            await eventually(
                lambda: collector.traces and collector.logs and collector.metrics,
                what="a slow export of each signal",
            )
            await assert_serves(client)
            collector.mode = CollectorMode.NORMAL
            await client.get("/marked")
            await eventually(lambda: "marked" in {span.name for span in collector.spans()})
            await eventually(lambda: "marked" in {record.body.string_value for record in collector.log_records()})
            await eventually(lambda: "/marked" in list_measured_routes(collector))
            many = [record for record in collector.log_records() if record.body.string_value == "one_of_many"]
            assert len(many) < 2 * QUEUE_SIZE
        warnings = (tmp_path / "log").read_text().count("Queue full")
        assert 0 < warnings < 5  # one in 20 s, not one for each dropped record


PROGRAM_WITH_HANGING_RESOLVER = """
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


class TestUnresolvableCollector:
    async def test_process_ends_when_the_resolver_hangs(self) -> None:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM_WITH_HANGING_RESOLVER, env=environment, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(60):
                printed, _ = await process.communicate()
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        assert (printed, process.returncode) == (b"ended\n", 0)


class TestCollector:
    async def test_metrics_have_service_instance_and_exemplars(self, tmp_path: Path) -> None:
        two_workers = {"WEB_CONCURRENCY": "2"}
        async with (
            running_collector() as collector,
            run_service(tmp_path, collector.url, **two_workers) as (_, client),
        ):
            pids: set[int] = set()

            async def have_both_served() -> bool:
                async with httpx.AsyncClient(base_url=client.base_url) as new_connection:  # perhaps to the other worker
                    pids.add((await new_connection.get("/hello")).json()["pid"])
                return len(pids) == 2

            await eventually(have_both_served)

            def list_instances() -> set[str]:
                return {
                    resource["service.instance.id"]
                    for resource, metric in collector.resource_metrics()
                    if metric.name == "http.server.request.duration"
                }

            await eventually(lambda: len(list_instances()) == 2, what="the durations of both workers")
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
    async def test_signal_to_the_master_toggles_debug_records(self, tmp_path: Path) -> None:
        def count_records(event: str) -> int:
            return (tmp_path / "log").read_text().count(f'"event":"{event}"')

        async with run_service(tmp_path, "") as (master, client):
            for level_changes in (1, 2):  # to DEBUG, and back to INFO
                psutil.Process(master).send_signal(signal.SIGUSR1)
                await eventually(lambda n=level_changes: count_records("log_level_changed") == n)  # type: ignore[misc]
                await client.get("/hello")
                assert count_records("greeted") == 1, "only the first request is served at the level DEBUG"


def has_ended(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def list_measured_routes(collector: Collector) -> set[str]:
    """Return the routes whose durations the collector has received."""
    return {
        item.value.string_value
        for _, metric in collector.resource_metrics()
        if metric.name == "http.server.request.duration"
        for point in metric.histogram.data_points
        for item in point.attributes
        if item.key == "http.route"
    }


def list_exemplar_traces(collector: Collector) -> set[bytes]:
    """Return the trace ids of the exemplars of request durations."""
    return {
        exemplar.trace_id
        for _, metric in collector.resource_metrics()
        if metric.name == "http.server.request.duration"
        for point in metric.histogram.data_points
        for exemplar in point.exemplars
    }
