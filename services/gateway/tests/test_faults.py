"""Fault switches: their authorization, and the effect of each kind on response, trace, metric and circuit."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from opentelemetry.trace import StatusCode
from services.gateway.tests.clients import get_result
from services.gateway.tests.conftest import OpenGateway, Services
from services.gateway.tests.fakes import FakeService

from testkit.metrics import RecordedMetrics
from testkit.spans import Spans
from testkit.waiting import eventually

NANOSECONDS_PER_MS = 1_000_000


@pytest.fixture
async def gateway(open_gateway: OpenGateway, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    services.orders.respond("GET", "/products", {"from": "orders"})
    async with open_gateway(environment="development", upstream_seconds=0.6, breaker_open_seconds=60) as client:
        yield client


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A gateway in development, the service behind the faults, and the recorded telemetry."""

    gateway: httpx.AsyncClient
    orders: FakeService
    admin_headers: dict[str, str]
    spans: Spans
    metrics: RecordedMetrics


@pytest.fixture
def lab(
    gateway: httpx.AsyncClient,
    services: Services,
    admin_headers: dict[str, str],
    spans: Spans,
    metrics: RecordedMetrics,
) -> Lab:
    return Lab(gateway=gateway, orders=services.orders, admin_headers=admin_headers, spans=spans, metrics=metrics)


async def switch_on(gateway: httpx.AsyncClient, admin_headers: dict[str, str], **fields: Any) -> dict[str, Any]:
    """Switch on a fault, by default of calls to orders, and return it."""
    response = await gateway.post("/v2/faults", headers=admin_headers, json={"target": "orders", **fields})
    assert response.status_code == 201, response.text
    fault: dict[str, Any] = response.json()
    return fault


async def read_products(gateway: httpx.AsyncClient) -> str:
    """Request the products and return `ok` or the slug of the problem."""
    return get_result(await gateway.get("/v2/products"))


async def wait_for_result(gateway: httpx.AsyncClient, expected: str) -> None:
    """Request the products until the result is the expected one. A new fault becomes active within a second."""

    async def is_expected() -> bool:
        return await read_products(gateway) == expected

    await eventually(is_expected, what=f"the result {expected}")


class TestEffects:
    @pytest.mark.parametrize(
        ("kind", "value", "problem"),
        [
            ("slow", 60_000, "upstream-timeout"),
            ("errors", None, "fault-switched-on"),
            ("hang", None, "upstream-timeout"),
            ("disconnect", None, "upstream-broken"),
        ],
    )
    async def test_fault_appears_in_the_response_the_trace_the_metric_and_the_circuit(
        self, lab: Lab, kind: str, value: int | None, problem: str
    ) -> None:
        gateway = lab.gateway
        await switch_on(gateway, lab.admin_headers, kind=kind, value=value)
        await wait_for_result(gateway, problem)
        received = len(lab.orders.requests_for("GET", "/products"))

        failed = lab.spans.named("GET /products")[-1]
        assert (failed.attributes or {})["hopline.fault"] == kind
        assert failed.status.status_code is StatusCode.ERROR

        slugs = await asyncio.gather(*(read_products(gateway) for _ in range(12)))
        assert set(slugs) <= {problem, "circuit-open"}
        await wait_for_result(gateway, "circuit-open")
        dependencies = (await gateway.get("/health/ready")).json()["dependencies"]
        assert dependencies["orders"]["breaker"] == "open"
        assert dependencies["orders"]["status"] == "down"
        assert dependencies["users"]["breaker"] == "closed"

        attributes = {"service.peer.name": "orders", "hopline.fault": kind}
        assert lab.metrics.value("hopline.faults.suffered", attributes) >= 5
        assert len(lab.orders.requests_for("GET", "/products")) == received, "the fault must not reach orders itself"

    async def test_span_includes_the_delay_when_the_call_is_slow(
        self, gateway: httpx.AsyncClient, admin_headers: dict[str, str], spans: Spans
    ) -> None:
        delay_ms = 50
        await switch_on(gateway, admin_headers, kind="slow", value=delay_ms)
        slow = await eventually(lambda: self._read_until_slow(gateway, spans))
        assert slow.end_time - slow.start_time >= delay_ms * NANOSECONDS_PER_MS
        assert slow.status.status_code is StatusCode.UNSET

    async def _read_until_slow(self, gateway: httpx.AsyncClient, spans: Spans) -> Any:
        """Request the products and return the span of the call if it had a fault, otherwise None."""
        assert await read_products(gateway) == "ok"
        faulty = [span for span in spans.named("GET /products") if "hopline.fault" in (span.attributes or {})]
        return faulty[-1] if faulty else None

    async def test_readiness_probe_does_not_use_up_a_limited_fault(self, lab: Lab, services: Services) -> None:
        """Kubernetes probes readiness every few seconds. The unlimited fault shows when the faults are active."""
        services.users.respond("GET", "/health/ready", {})
        await switch_on(lab.gateway, lab.admin_headers, kind="errors", times=1)
        await switch_on(lab.gateway, lab.admin_headers, kind="errors", target="users")

        async def faults_are_active() -> bool:
            dependencies = (await lab.gateway.get("/health/ready")).json()["dependencies"]
            return bool(dependencies["users"]["status"] == "down")

        await eventually(faults_are_active)
        await lab.gateway.get("/health/ready")
        order = await lab.gateway.post("/v2/orders", json={}, headers=lab.admin_headers)
        assert get_result(order) == "fault-switched-on"

    async def test_calls_succeed_when_faults_are_switched_off(
        self, open_gateway: OpenGateway, services: Services, admin_headers: dict[str, str]
    ) -> None:
        services.orders.respond("GET", "/products", {})
        async with open_gateway(environment="development", breaker_open_seconds=0.1) as gateway:
            await switch_on(gateway, admin_headers, kind="disconnect")
            await wait_for_result(gateway, "upstream-broken")
            assert (await gateway.delete("/v2/faults", headers=admin_headers)).status_code == 204
            await wait_for_result(gateway, "ok")


class TestSwitches:
    async def test_faults_are_listed_until_they_are_switched_off(
        self, gateway: httpx.AsyncClient, admin_headers: dict[str, str]
    ) -> None:
        on = await switch_on(gateway, admin_headers, source="workers", kind="errors", value=30, for_seconds=600)
        assert {"source": "workers", "target": "orders", "kind": "errors", "value": 30}.items() <= on.items()
        assert (await gateway.get("/v2/faults", headers=admin_headers)).json() == {"items": [on]}
        switched_off = await gateway.delete(
            "/v2/faults", headers=admin_headers, params={"source": "workers", "target": "orders"}
        )
        assert switched_off.status_code == 204
        assert (await gateway.get("/v2/faults", headers=admin_headers)).json() == {"items": []}

    async def test_slow_fault_delays_calls_by_two_seconds_by_default(
        self, gateway: httpx.AsyncClient, admin_headers: dict[str, str]
    ) -> None:
        on = await switch_on(gateway, admin_headers, source="notifications", kind="slow")
        assert on["value"] == 2_000, "milliseconds"
        assert on["until"].endswith("Z")

    @pytest.mark.parametrize(
        "invalid",
        [
            {"kind": "melt"},
            {"kind": "slow", "target": "redis"},
            {"kind": "slow", "source": "orders"},
            {"kind": "errors", "value": 101},
            {"kind": "slow", "value": 0},
            {"kind": "slow", "for_seconds": 86_400},
            {"kind": "slow", "everything": True},
            {"kind": "slow", "times": 0},
            {"kind": "slow", "target": "workers"},
            {"kind": "crash", "target": "notifications"},
            {"kind": "crash", "target": "notifications", "at": "relay.after_append"},
            {"kind": "crash", "target": "users", "at": "relay.after_append"},
        ],
        ids=str,
    )
    async def test_fault_is_rejected_when_it_is_invalid(
        self, gateway: httpx.AsyncClient, admin_headers: dict[str, str], invalid: dict[str, Any]
    ) -> None:
        response = await gateway.post("/v2/faults", headers=admin_headers, json={"target": "orders", **invalid})
        assert response.status_code == 422

    @pytest.mark.parametrize(
        ("fault", "field"),
        [
            ({"kind": "crash", "at": "relay.after_append", "value": 50}, "value"),
            ({"kind": "slow", "at": "relay.after_append"}, "at"),
        ],
        ids=str,
    )
    async def test_field_is_rejected_when_the_kind_does_not_use_it(
        self, gateway: httpx.AsyncClient, admin_headers: dict[str, str], fault: dict[str, Any], field: str
    ) -> None:
        response = await gateway.post("/v2/faults", headers=admin_headers, json={"target": "orders", **fault})
        assert response.status_code == 422
        message = f"a fault of kind {fault['kind']} has no {field}; omit it"
        assert response.json()["errors"] == [{"field": field, "message": message}]

    async def test_source_of_a_crash_is_its_target(
        self, gateway: httpx.AsyncClient, admin_headers: dict[str, str]
    ) -> None:
        on = await switch_on(gateway, admin_headers, target="workers", kind="crash", at="job.after_effect")
        assert {"source": "workers", "target": "workers", "at": "job.after_effect"}.items() <= on.items()

    async def test_request_is_rejected_when_the_caller_is_not_an_admin(
        self, gateway: httpx.AsyncClient, customer_headers: dict[str, str]
    ) -> None:
        body = {"target": "orders", "kind": "slow"}
        for method in ("POST", "GET", "DELETE"):
            assert (await gateway.request(method, "/v2/faults", headers=customer_headers, json=body)).status_code == 403
            assert (await gateway.request(method, "/v2/faults", json=body)).status_code == 401

    @pytest.mark.parametrize("environment", ["production", "test"])
    async def test_response_is_404_outside_of_development(
        self, open_gateway: OpenGateway, admin_headers: dict[str, str], environment: str
    ) -> None:
        async with open_gateway(environment=environment) as gateway:
            for method in ("POST", "GET", "DELETE"):
                response = await gateway.request(
                    method, "/v2/faults", headers=admin_headers, json={"target": "orders", "kind": "slow"}
                )
                assert response.status_code == 404
