"""Fault switches: who may set them, and how each kind shows in the answer, the trace, a metric and the circuit."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from opentelemetry.trace import StatusCode
from services.gateway.tests.conftest import OpenGateway, Services
from services.gateway.tests.standins import StandIn

from testkit.metrics import Metrics
from testkit.spans import Spans
from testkit.waiting import eventually

PATH = "/v2/products"


@pytest.fixture
async def gateway(open_gateway: OpenGateway, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    services.orders.answers("GET", "/products", {"from": "orders"})
    async with open_gateway(environment="development", upstream_seconds=0.6, breaker_open_seconds=60) as client:
        yield client


@dataclass(frozen=True, kw_only=True)
class Lab:
    """What a person who breaks something looks at."""

    gateway: httpx.AsyncClient
    orders: StandIn
    admin: dict[str, str]
    spans: Spans
    counted: Metrics


@pytest.fixture
def lab(gateway: httpx.AsyncClient, services: Services, admin: dict[str, str], spans: Spans, counted: Metrics) -> Lab:
    return Lab(gateway=gateway, orders=services.orders, admin=admin, spans=spans, counted=counted)


async def switch_on(gateway: httpx.AsyncClient, admin: dict[str, str], **wanted: Any) -> dict[str, Any]:
    """Switch a fault towards orders on; the answer."""
    response = await gateway.post("/v2/faults", headers=admin, json={"target": "orders", **wanted})
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def slug(gateway: httpx.AsyncClient) -> str:
    """What a read of products is answered: the problem's name, or `ok`."""
    response = await gateway.get(PATH)
    return "ok" if response.status_code == 200 else str(response.json()["type"]).rpartition("/")[2]


async def shows(gateway: httpx.AsyncClient, expected: str) -> bool:
    return await slug(gateway) == expected


class TestSymptoms:
    @pytest.mark.parametrize(
        ("kind", "value", "symptom"),
        [
            ("slow", 60_000, "upstream-timeout"),
            ("errors", None, "fault-switched-on"),
            ("hang", None, "upstream-timeout"),
            ("disconnect", None, "upstream-broken"),
        ],
    )
    async def test_in_the_answer_the_trace_a_metric_and_the_circuit(
        self, lab: Lab, kind: str, value: int | None, symptom: str
    ) -> None:
        gateway = lab.gateway
        await switch_on(gateway, lab.admin, kind=kind, value=value)
        await eventually(lambda: shows(gateway, symptom))
        asked = len(lab.orders.asked("GET", "/products"))

        failed = lab.spans.named("GET /products")[-1]
        assert (failed.attributes or {})["hopline.fault"] == kind
        assert failed.status.status_code is StatusCode.ERROR

        answers = await asyncio.gather(*(slug(gateway) for _ in range(12)))
        assert set(answers) <= {symptom, "circuit-open"}
        await eventually(lambda: shows(gateway, "circuit-open"))
        dependencies = (await gateway.get("/health/ready")).json()["dependencies"]
        assert dependencies["orders"]["breaker"] == "open"
        assert dependencies["orders"]["status"] == "down"
        assert dependencies["users"]["breaker"] == "closed"

        suffered = {"service.peer.name": "orders", "hopline.fault": kind}
        assert lab.counted.value("hopline.faults.suffered", suffered) >= 5
        assert len(lab.orders.asked("GET", "/products")) == asked, "orders itself must be left alone"

    async def test_a_little_slow_is_a_longer_span(
        self, gateway: httpx.AsyncClient, admin: dict[str, str], spans: Spans
    ) -> None:
        await switch_on(gateway, admin, kind="slow", value=50)
        late = await eventually(lambda: self._touched(gateway, spans))
        assert late.end_time - late.start_time >= 50_000_000
        assert late.status.status_code is StatusCode.UNSET

    async def _touched(self, gateway: httpx.AsyncClient, spans: Spans) -> Any:
        assert await slug(gateway) == "ok"
        touched = [span for span in spans.named("GET /products") if "hopline.fault" in (span.attributes or {})]
        return touched[-1] if touched else None

    async def test_of_so_many_calls_are_not_those_of_probes(self, lab: Lab, services: Services) -> None:
        """Where containers run, somebody asks every few seconds whether the gateway is ready."""
        services.users.answers("GET", "/health/ready", {})
        await switch_on(lab.gateway, lab.admin, kind="errors", times=1)
        await switch_on(lab.gateway, lab.admin, kind="errors", target="users")

        async def both_are_known() -> bool:
            dependencies = (await lab.gateway.get("/health/ready")).json()["dependencies"]
            return bool(dependencies["users"]["status"] == "down")

        await eventually(both_are_known)
        await lab.gateway.get("/health/ready")
        created = await lab.gateway.post("/v2/orders", json={}, headers={"Authorization": lab.admin["Authorization"]})
        assert created.json()["type"].endswith("fault-switched-on")

    async def test_switched_off_all_is_well(
        self, open_gateway: OpenGateway, services: Services, admin: dict[str, str]
    ) -> None:
        services.orders.answers("GET", "/products", {})
        async with open_gateway(environment="development", breaker_open_seconds=0.1) as gateway:
            await switch_on(gateway, admin, kind="disconnect")
            await eventually(lambda: shows(gateway, "upstream-broken"))
            assert (await gateway.delete("/v2/faults", headers=admin)).status_code == 204
            await eventually(lambda: shows(gateway, "ok"))


class TestSwitches:
    async def test_are_listed_until_they_are_cleared(self, gateway: httpx.AsyncClient, admin: dict[str, str]) -> None:
        on = await switch_on(gateway, admin, source="workers", kind="errors", value=30, for_seconds=600)
        assert {"source": "workers", "target": "orders", "kind": "errors", "value": 30}.items() <= on.items()
        assert (await gateway.get("/v2/faults", headers=admin)).json() == {"items": [on]}
        cleared = await gateway.delete("/v2/faults", headers=admin, params={"source": "workers", "target": "orders"})
        assert cleared.status_code == 204
        assert (await gateway.get("/v2/faults", headers=admin)).json() == {"items": []}

    async def test_what_nobody_says_is_usual(self, gateway: httpx.AsyncClient, admin: dict[str, str]) -> None:
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
    async def test_what_makes_no_sense_is_refused(
        self, gateway: httpx.AsyncClient, admin: dict[str, str], wrong: dict[str, Any]
    ) -> None:
        response = await gateway.post("/v2/faults", headers=admin, json={"target": "orders", **wrong})
        assert response.status_code == 422

    async def test_a_crash_is_of_the_target_alone(self, gateway: httpx.AsyncClient, admin: dict[str, str]) -> None:
        on = await switch_on(gateway, admin, target="workers", kind="crash", at="job.after_effect")
        assert {"source": "workers", "target": "workers", "at": "job.after_effect"}.items() <= on.items()

    async def test_are_for_admins(self, gateway: httpx.AsyncClient, token: dict[str, str]) -> None:
        for method in ("POST", "GET", "DELETE"):
            assert (await gateway.request(method, "/v2/faults", headers=token, json={})).status_code in {403, 422}
            assert (await gateway.request(method, "/v2/faults")).status_code == 401

    @pytest.mark.parametrize("environment", ["production", "test"])
    async def test_are_not_there_outside_development(
        self, open_gateway: OpenGateway, admin: dict[str, str], environment: str
    ) -> None:
        async with open_gateway(environment=environment) as gateway:
            for method in ("POST", "GET", "DELETE"):
                response = await gateway.request(
                    method, "/v2/faults", headers=admin, json={"target": "orders", "kind": "slow"}
                )
                assert response.status_code == 404
