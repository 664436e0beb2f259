"""The gateway before a service that fails, hangs or comes back: seen from outside, on real servers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from services.gateway.tests.conftest import OpenGateway, Services

from testkit.metrics import Metrics
from testkit.spans import Spans
from testkit.waiting import eventually

ORDERS = {"service.peer.name": "orders"}
AN_ORDER = "0198b7f0-0000-7000-8000-000000000002"


async def ask(gateway: httpx.AsyncClient, path: str, times: int) -> Counter[str]:
    """What so many concurrent reads are answered: the problem's name, or `ok`."""
    responses = await asyncio.gather(*(gateway.get(path) for _ in range(times)))
    return Counter(_named(response) for response in responses)


def _named(response: httpx.Response) -> str:
    return "ok" if response.status_code == 200 else str(response.json()["type"]).rpartition("/")[2]


async def breaker_of(gateway: httpx.AsyncClient) -> str:
    """The circuit to orders, as readiness tells it."""
    dependencies = (await gateway.get("/health/ready")).json()["dependencies"]
    return str(dependencies["orders"]["breaker"])


@pytest.fixture
async def saved(open_gateway: OpenGateway, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway that has served ten reads and saved two retries."""
    services.orders.answers("GET", "/products", {})
    async with open_gateway() as gateway:
        await ask(gateway, "/v2/products", 10)
        services.orders.seen.clear()
        yield gateway


class TestRetries:
    async def test_a_failure_that_passes_is_not_seen(
        self, saved: httpx.AsyncClient, services: Services, spans: Spans, counted: Metrics
    ) -> None:
        services.orders.fails_first("GET", "/products", times=2)
        spans.clear()
        assert (await saved.get("/v2/products")).status_code == 200
        attempts = spans.named("GET /products")
        assert [(span.attributes or {}).get("http.request.resend_count") for span in attempts] == [None, 1, 2]
        assert len({span.parent.span_id for span in attempts if span.parent}) == 1
        assert counted.value("hopline.gateway.retries", {**ORDERS, "hopline.paid": True}) == 2

    async def test_a_post_is_tried_again_with_a_key_only(
        self, saved: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.answers("POST", "/orders", {}, status=201)
        for _ in range(5):  # each earns a fifth of a retry of this endpoint
            await saved.post("/v2/orders", headers=token, json={})
        services.orders.seen.clear()
        services.orders.fails_first("POST", "/orders", times=2)
        assert (await saved.post("/v2/orders", headers=token, json={})).status_code == 503
        keyed = await saved.post("/v2/orders", headers={**token, "Idempotency-Key": "k"}, json={"a": 1})
        assert keyed.status_code == 201
        keyless, *with_key = services.orders.asked("POST", "/orders")
        assert "idempotency-key" not in keyless.headers
        assert [seen.body for seen in with_key] == [b'{"a":1}'] * 2
        assert len({seen.headers["traceparent"] for seen in with_key}) == 2

    async def test_a_key_in_flight_is_the_clients_to_wait_for(
        self, saved: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.refuses("POST", "/orders", status=409, slug="in-flight", headers={"retry-after": "0"})
        response = await saved.post("/v2/orders", headers={**token, "Idempotency-Key": "k"}, json={})
        assert response.status_code == 409
        assert len(services.orders.seen) == 1

    async def test_no_retry_is_begun_that_the_deadline_would_end(
        self, saved: httpx.AsyncClient, services: Services
    ) -> None:
        services.orders.fails_first("GET", "/products", times=1, headers={"retry-after": "10"})
        response = await saved.get("/v2/products", headers={"X-Request-Timeout-Ms": "9000"})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "10"

    async def test_where_some_calls_always_fail_retries_stay_a_fifth_of_all(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str], counted: Metrics
    ) -> None:
        """Too few of them to open the circuit: here the budget alone holds."""
        services.orders.answers("GET", "/products", {})
        services.orders.refuses("GET", "/products/mug", status=503, slug="unavailable")
        async with open_gateway() as gateway:
            for _ in range(15):
                await asyncio.gather(*(gateway.get(f"/v2/products{path}") for path in ("", "", "/mug")))
            assert await breaker_of(gateway) == "closed"
        failing = len(services.orders.asked("GET", "/products/mug"))
        assert 15 < failing <= 15 + 0.2 * 45
        assert counted.value("hopline.gateway.retries", {**ORDERS, "hopline.paid": False}) > 0


class TestAllFails:
    async def test_attempts_are_bounded_and_the_circuit_opens(
        self, open_gateway: OpenGateway, services: Services, counted: Metrics
    ) -> None:
        services.orders.refuses("GET", "/products", status=503, slug="unavailable")
        async with open_gateway(breaker_open_seconds=60) as gateway:
            answers = Counter[str]()
            for _ in range(20):
                answers += await ask(gateway, "/v2/products", 5)
            assert await breaker_of(gateway) == "open"
        assert set(answers) == {"unavailable", "circuit-open"}
        assert len(services.orders.asked("GET", "/products")) <= 1.2 * answers.total()
        assert answers["circuit-open"] > answers["unavailable"]
        assert counted.value("hopline.gateway.refusals", {**ORDERS, "hopline.refused_by": "circuit"}) > 50
        assert counted.value("hopline.gateway.circuit.turns", {**ORDERS, "hopline.circuit.state": "open"}) == 1

    async def test_a_services_bugs_are_failures_and_a_clients_are_not(
        self, open_gateway: OpenGateway, services: Services
    ) -> None:
        services.orders.refuses("GET", "/products/nothing", status=404, slug="not-found")
        services.orders.refuses("GET", "/products/bug", status=500, slug="internal")
        async with open_gateway(breaker_open_seconds=60) as gateway:
            await ask(gateway, "/v2/products/nothing", 30)
            assert await breaker_of(gateway) == "closed"
            await ask(gateway, "/v2/products/bug", 40)
            assert await breaker_of(gateway) == "open"

    async def test_one_service_that_fails_closes_no_door_to_another(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.refuses("GET", "/products", status=503, slug="unavailable")
        services.users.answers("GET", "/users/me", {})
        async with open_gateway() as gateway:
            await ask(gateway, "/v2/products", 20)
            assert (await gateway.get("/v2/users/me", headers=token)).status_code == 200


class TestBackpressure:
    @pytest.mark.parametrize(
        ("status", "headers"), [(503, {"retry-after": "60"}), (429, {"retry-after": "60"}), (429, {})]
    )
    async def test_opens_no_circuit(
        self, open_gateway: OpenGateway, services: Services, status: int, headers: dict[str, str]
    ) -> None:
        services.orders.answers("GET", "/products", {})
        services.orders.refuses("GET", "/products/mug", status=status, slug="busy", headers=headers)
        async with open_gateway() as gateway:
            for _ in range(4):
                assert await ask(gateway, "/v2/products/mug", 10) == {"busy": 10}
            assert await breaker_of(gateway) == "closed"
            assert await ask(gateway, "/v2/products", 10) == {"ok": 10}

    async def test_does_not_close_a_circuit_either(self, open_gateway: OpenGateway, services: Services) -> None:
        """The rejected probe is not the last one: the next call finds out."""
        services.orders.refuses("GET", "/products", status=500, slug="internal")
        async with open_gateway(breaker_open_seconds=0.2) as gateway:
            await ask(gateway, "/v2/products", 20)
            assert await breaker_of(gateway) == "open"
            services.orders.refuses("GET", "/products", status=429, slug="busy")

            async def probed() -> bool:
                return await ask(gateway, "/v2/products", 1) == {"busy": 1}

            await eventually(probed)
            assert await breaker_of(gateway) == "half_open"
            services.orders.answers("GET", "/products", {})
            assert await ask(gateway, "/v2/products", 1) == {"ok": 1}
            assert await breaker_of(gateway) == "closed"


class TestExpensiveEndpoint:
    """`gateway.dependencies.EXPENSIVE`."""

    @pytest.mark.parametrize(
        "called",
        ["/v2/tokens", "/v1/tokens", "/v2/users", "/v2/orders", f"/v2/orders/{AN_ORDER}/cancel"],
    )
    async def test_that_hangs_blocks_no_other(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str], called: str
    ) -> None:
        services.users.answers("GET", "/users/me", {})
        services.orders.answers("GET", "/products", {})
        hanging = services.orders if "orders" in called else services.users
        other = "/v2/products" if "orders" in called else "/v2/users/me"
        hanging.hangs("POST", called[len("/v2") :])
        async with open_gateway(upstream_seconds=2, breaker_open_seconds=60, upstream_calls_at_once=12) as gateway:
            slow = [asyncio.create_task(gateway.post(called, headers=token)) for _ in range(12)]
            await eventually(lambda: hanging.at_once == 12)
            assert (await gateway.get(other, headers=token)).status_code == 200, "the others have places of their own"
            assert {_named(await one) for one in slow} == {"upstream-timeout"}
            assert _named(await gateway.post(called, headers=token)) == "circuit-open"
            assert (await gateway.get(other, headers=token)).status_code == 200, "and a circuit of their own"


class TestAllIsSlow:
    async def test_every_answer_comes_and_the_circuit_opens(
        self, open_gateway: OpenGateway, services: Services
    ) -> None:
        services.orders.hangs("GET", "/products")
        async with open_gateway(upstream_seconds=1, breaker_open_seconds=60) as gateway:
            slow = await ask(gateway, "/v2/products", 15)
            quick = await ask(gateway, "/v2/products", 15)
        assert slow == {"upstream-timeout": 15}
        assert quick == {"circuit-open": 15}
        assert len(services.orders.asked("GET", "/products")) == 15
        await eventually(lambda: services.orders.at_once == 0)

    async def test_who_gives_up_early_opens_no_circuit(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.hangs("GET", "/products")
        hurried = {"X-Request-Timeout-Ms": "150"}
        async with open_gateway() as gateway:
            while len(services.orders.seen) < 12:
                assert (await gateway.get("/v2/products", headers=hurried)).status_code == 504
            gone = [asyncio.create_task(gateway.get("/v2/products")) for _ in range(20)]
            await eventually(lambda: services.orders.at_once >= 20)
            for one in gone:
                one.cancel()
            await eventually(lambda: services.orders.at_once == 0)
            assert await breaker_of(gateway) == "closed"

    async def test_callers_of_a_slow_service_leave_room_for_others(
        self, open_gateway: OpenGateway, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.hangs("GET", "/products")
        services.users.answers("GET", "/users/me", {})
        async with open_gateway(upstream_calls_at_once=3) as gateway:
            waiting = [asyncio.create_task(gateway.get("/v2/products")) for _ in range(10)]
            await eventually(lambda: sum(one.done() for one in waiting) == 4)
            await eventually(lambda: services.orders.at_once == 3)
            dependencies = (await gateway.get("/health/ready")).json()["dependencies"]
            assert dependencies["orders"]["calls_in_flight"] == 3
            assert "404" in dependencies["orders"]["error"], "its probe gets through"
            assert (await gateway.get("/v2/users/me", headers=token)).status_code == 200
            for one in waiting:
                one.cancel()
            refused = [await one for one in waiting if not one.cancelled() and one.done()]
        assert {_named(response) for response in refused} == {"upstream-busy"}


class TestComingBack:
    async def test_one_probe_finds_out(self, open_gateway: OpenGateway, services: Services, counted: Metrics) -> None:
        services.orders.refuses("GET", "/products", status=503, slug="unavailable")
        async with open_gateway(breaker_open_seconds=0.2) as gateway:
            await ask(gateway, "/v2/products", 20)
            services.orders.hangs("GET", "/products")
            probe = await self._probe(gateway, services)
            assert await ask(gateway, "/v2/products", 20) == {"circuit-open": 20}
            assert services.orders.at_once == 1
            assert counted.value("hopline.gateway.circuit.state", ORDERS) == 1

            probe.cancel()  # says nothing about the service: the next call is the probe
            await eventually(lambda: services.orders.at_once == 0)
            services.orders.answers("GET", "/products", {})
            await eventually(lambda: self._is_read(gateway))
            assert await breaker_of(gateway) == "closed"
            assert await ask(gateway, "/v2/products", 20) == {"ok": 20}

    async def _probe(self, gateway: httpx.AsyncClient, services: Services) -> "asyncio.Task[httpx.Response]":
        """A call that hangs at the service, once the circuit lets it through."""

        async def let_through() -> "asyncio.Task[httpx.Response] | None":
            one = asyncio.create_task(gateway.get("/v2/products"))
            await eventually(lambda: one.done() or services.orders.at_once)
            return None if one.done() else one

        probe = await eventually(let_through)
        assert probe is not None
        return probe

    async def _is_read(self, gateway: httpx.AsyncClient) -> bool:
        return (await gateway.get("/v2/products")).status_code == 200


class TestHedgedReads:
    async def test_a_late_read_is_asked_for_again(
        self, open_gateway: OpenGateway, services: Services, counted: Metrics
    ) -> None:
        services.orders.answers("GET", "/products", {})
        services.orders.answers("GET", "/products/mug", {})
        async with open_gateway(hedge_after_seconds=0.2) as gateway:
            await eventually(lambda: self._has_saved_for_one(gateway))
            services.orders.hangs_first("GET", "/products/mug")
            assert (await gateway.get("/v2/products/mug")).status_code == 200
            await eventually(lambda: services.orders.abandoned.count("/products/mug") == 1)
        assert len(services.orders.asked("GET", "/products/mug")) == 2
        assert counted.value("hopline.gateway.hedges", {**ORDERS, "hopline.paid": True}) >= 1

    async def _has_saved_for_one(self, gateway: httpx.AsyncClient) -> bool:
        """After one more read; on a busy machine these are late themselves, and hedged."""
        await gateway.get("/v2/products")
        dependencies = (await gateway.get("/health/ready")).json()["dependencies"]
        return float(dependencies["orders"]["retries_saved"]) >= 1

    async def test_it_is_off_by_default(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.hangs("GET", "/products")
        async with open_gateway(upstream_seconds=1) as gateway:
            assert (await gateway.get("/v2/products")).status_code == 504
        assert len(services.orders.asked("GET", "/products")) == 1
