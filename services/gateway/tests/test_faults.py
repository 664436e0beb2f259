"""Fault switches: their authorization, and the effect of each kind on response, trace, metric and circuit."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from opentelemetry.trace import StatusCode
from services.gateway.tests.conftest import OpenGateway, Services
from services.gateway.tests.fakes import FakeService

from testkit.metrics import Metrics
from testkit.spans import Spans
from testkit.waiting import eventually

PATH = "/v2/products"


@pytest.fixture
async def gateway(open_gateway: OpenGateway, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    services.orders.respond("GET", "/products", {"from": "orders"})
    async with open_gateway(environment="development", upstream_seconds=0.6, breaker_open_seconds=60) as client:
        yield client


@dataclass(frozen=True, kw_only=True)
class Lab:
    """The gateway, the faulty service, and the recorded telemetry."""

    gateway: httpx.AsyncClient
    orders: FakeService
    admin: dict[str, str]
    spans: Spans
    metrics: Metrics


@pytest.fixture
def lab(gateway: httpx.AsyncClient, services: Services, admin: dict[str, str], spans: Spans, metrics: Metrics) -> Lab:
    return Lab(gateway=gateway, orders=services.orders, admin=admin, spans=spans, metrics=metrics)


async def switch_on(gateway: httpx.AsyncClient, admin: dict[str, str], **fields: Any) -> dict[str, Any]:
    """Switch on a fault of calls to orders and return it."""
    response = await gateway.post("/v2/faults", headers=admin, json={"target": "orders", **fields})
    assert response.status_code == 201, response.text
    fault: dict[str, Any] = response.json()
    return fault


async def read_products(gateway: httpx.AsyncClient) -> str:
    """Request the products and return `ok` or the slug of the problem."""
    response = await gateway.get(PATH)
    return "ok" if response.status_code == 200 else str(response.json()["type"]).rpartition("/")[2]


async def results_in(gateway: httpx.AsyncClient, expected: str) -> bool:
    return await read_products(gateway) == expected


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
    async def test_fault_shows_in_the_response_the_trace_the_metric_and_the_circuit(
        self, lab: Lab, kind: str, value: int | None, problem: str
    ) -> None:
        gateway = lab.gateway
        await switch_on(gateway, lab.admin, kind=kind, value=value)
        await eventually(lambda: results_in(gateway, problem))
        received = len(lab.orders.requests_for("GET", "/products"))

        failed = lab.spans.named("GET /products")[-1]
        assert (failed.attributes or {})["hopline.fault"] == kind
        assert failed.status.status_code is StatusCode.ERROR

        slugs = await asyncio.gather(*(read_products(gateway) for _ in range(12)))
        assert set(slugs) <= {problem, "circuit-open"}
        await eventually(lambda: results_in(gateway, "circuit-open"))
        dependencies = (await gateway.get("/health/ready")).json()["dependencies"]
        assert dependencies["orders"]["breaker"] == "open"
        assert dependencies["orders"]["status"] == "down"
        assert dependencies["users"]["breaker"] == "closed"

        attributes = {"service.peer.name": "orders", "hopline.fault": kind}
        assert lab.metrics.value("hopline.faults.suffered", attributes) >= 5
        assert len(lab.orders.requests_for("GET", "/products")) == received, "the fault must not reach orders itself"

    async def test_span_is_longer_when_the_call_is_slow(
        self, gateway: httpx.AsyncClient, admin: dict[str, str], spans: Spans
    ) -> None:
        await switch_on(gateway, admin, kind="slow", value=50)
        slow = await eventually(lambda: self._span_with_fault(gateway, spans))
        assert slow.end_time - slow.start_time >= 50_000_000
        assert slow.status.status_code is StatusCode.UNSET

    async def _span_with_fault(self, gateway: httpx.AsyncClient, spans: Spans) -> Any:
        assert await read_products(gateway) == "ok"
        faulty = [span for span in spans.named("GET /products") if "hopline.fault" in (span.attributes or {})]
        return faulty[-1] if faulty else None

    async def test_limited_faults_do_not_apply_to_probes(self, lab: Lab, services: Services) -> None:
        """Kubernetes probes readiness every few seconds, which must not use up a fault."""
        services.users.respond("GET", "/health/ready", {})
        await switch_on(lab.gateway, lab.admin, kind="errors", times=1)
        await switch_on(lab.gateway, lab.admin, kind="errors", target="users")

        async def faults_are_active() -> bool:
            dependencies = (await lab.gateway.get("/health/ready")).json()["dependencies"]
            return bool(dependencies["users"]["status"] == "down")

        await eventually(faults_are_active)
        await lab.gateway.get("/health/ready")
        created = await lab.gateway.post("/v2/orders", json={}, headers={"Authorization": lab.admin["Authorization"]})
        assert created.json()["type"].endswith("fault-switched-on")

    async def test_calls_succeed_when_faults_are_switched_off(
        self, open_gateway: OpenGateway, services: Services, admin: dict[str, str]
    ) -> None:
        services.orders.respond("GET", "/products", {})
        async with open_gateway(environment="development", breaker_open_seconds=0.1) as gateway:
            await switch_on(gateway, admin, kind="disconnect")
            await eventually(lambda: results_in(gateway, "upstream-broken"))
            assert (await gateway.delete("/v2/faults", headers=admin)).status_code == 204
            await eventually(lambda: results_in(gateway, "ok"))


class TestSwitches:
    async def test_faults_are_listed_until_they_are_cleared(
        self, gateway: httpx.AsyncClient, admin: dict[str, str]
    ) -> None:
        on = await switch_on(gateway, admin, source="workers", kind="errors", value=30, for_seconds=600)
        assert {"source": "workers", "target": "orders", "kind": "errors", "value": 30}.items() <= on.items()
        assert (await gateway.get("/v2/faults", headers=admin)).json() == {"items": [on]}
        cleared = await gateway.delete("/v2/faults", headers=admin, params={"source": "workers", "target": "orders"})
        assert cleared.status_code == 204
        assert (await gateway.get("/v2/faults", headers=admin)).json() == {"items": []}

    async def test_value_has_a_default(self, gateway: httpx.AsyncClient, admin: dict[str, str]) -> None:
        on = await switch_on(gateway, admin, source="notifications", kind="slow")
        assert on["value"] == 2_000
        assert on["until"].endswith("Z")

    @pytest.mark.parametrize(
        "wrong",
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
        self, gateway: httpx.AsyncClient, admin: dict[str, str], wrong: dict[str, Any]
    ) -> None:
        response = await gateway.post("/v2/faults", headers=admin, json={"target": "orders", **wrong})
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
        self, gateway: httpx.AsyncClient, admin: dict[str, str], fault: dict[str, Any], field: str
    ) -> None:
        response = await gateway.post("/v2/faults", headers=admin, json={"target": "orders", **fault})
        assert response.status_code == 422
        message = f"a fault of kind {fault['kind']} has no {field}; omit it"
        assert response.json()["errors"] == [{"field": field, "message": message}]

    async def test_crash_has_its_target_as_source(self, gateway: httpx.AsyncClient, admin: dict[str, str]) -> None:
        on = await switch_on(gateway, admin, target="workers", kind="crash", at="job.after_effect")
        assert {"source": "workers", "target": "workers", "at": "job.after_effect"}.items() <= on.items()

    async def test_faults_are_rejected_when_the_caller_is_not_an_admin(
        self, gateway: httpx.AsyncClient, token: dict[str, str]
    ) -> None:
        body = {"target": "orders", "kind": "slow"}
        for method in ("POST", "GET", "DELETE"):
            assert (await gateway.request(method, "/v2/faults", headers=token, json=body)).status_code == 403
            assert (await gateway.request(method, "/v2/faults", json=body)).status_code == 401

    @pytest.mark.parametrize("environment", ["production", "test"])
    async def test_faults_are_not_found_outside_development(
        self, open_gateway: OpenGateway, admin: dict[str, str], environment: str
    ) -> None:
        async with open_gateway(environment=environment) as gateway:
            for method in ("POST", "GET", "DELETE"):
                response = await gateway.request(
                    method, "/v2/faults", headers=admin, json={"target": "orders", "kind": "slow"}
                )
                assert response.status_code == 404
