"""The gateway in front of a service that fails, hangs or recovers, on real servers."""

import asyncio
from collections import Counter

import httpx
import pytest
from services.gateway.tests.clients import get_result
from services.gateway.tests.conftest import OpenGateway, Services

from testkit.metrics import RecordedMetrics
from testkit.spans import Spans
from testkit.waiting import eventually

ORDERS_ATTRIBUTES = {"service.peer.name": "orders"}
ORDER = "0198b7f0-0000-7000-8000-000000000002"


async def get_concurrently(gateway: httpx.AsyncClient, path: str, times: int) -> Counter[str]:
    """Send `times` concurrent reads and count their results: `ok` or the slug of the problem."""
    responses = await asyncio.gather(*(gateway.get(path) for _ in range(times)))
    return Counter(get_result(response) for response in responses)


async def read_circuit_state(gateway: httpx.AsyncClient) -> str:
    """Return the state of the circuit to orders, from the readiness of the gateway."""
    dependencies = (await gateway.get("/health/ready")).json()["dependencies"]
    return str(dependencies["orders"]["breaker"])


class TestRetries:
    async def test_response_is_successful_when_a_retry_succeeds(
        self, gateway: httpx.AsyncClient, services: Services, spans: Spans, metrics: RecordedMetrics
    ) -> None:
        services.orders.respond("GET", "/products", {})
        services.orders.fail_first("GET", "/products", times=2)
        assert (await gateway.get("/v2/products")).status_code == 200
        attempts = spans.named("GET /products")
        assert [(span.attributes or {}).get("http.request.resend_count") for span in attempts] == [None, 1, 2]
        assert len({span.parent.span_id for span in attempts if span.parent}) == 1
        assert metrics.value("hopline.gateway.retries", {**ORDERS_ATTRIBUTES, "hopline.paid": True}) == 2

    async def test_post_is_retried_only_when_it_has_an_idempotency_key(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond("POST", "/orders", {}, status=201)
        services.orders.fail_first("POST", "/orders", times=2)
        assert (await gateway.post("/v2/orders", headers=customer_headers, json={})).status_code == 503
        keyed = await gateway.post("/v2/orders", headers={**customer_headers, "Idempotency-Key": "k"}, json={"a": 1})
        assert keyed.status_code == 201
        keyless, *with_key = services.orders.requests_for("POST", "/orders")
        assert "idempotency-key" not in keyless.headers
        assert [request.body for request in with_key] == [b'{"a":1}'] * 2
        assert len({request.headers["traceparent"] for request in with_key}) == 2

    async def test_post_with_a_key_is_not_retried_when_the_endpoint_ignores_the_key(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        """Another attempt could create a second report, or use a refresh token twice, which ends its session."""
        headers = {**customer_headers, "Idempotency-Key": "k"}
        for service, path in ((services.users, "/tokens"), (services.orders, "/reports")):
            service.respond("POST", path, {})
            service.fail_first("POST", path, times=1)
            assert (await gateway.post(f"/v2{path}", headers=headers, json={})).status_code == 503
            assert len(service.requests_for("POST", path)) == 1

    async def test_conflict_is_not_retried_when_the_key_is_in_flight(
        self, gateway: httpx.AsyncClient, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond_problem("POST", "/orders", status=409, slug="in-flight", headers={"retry-after": "0"})
        response = await gateway.post("/v2/orders", headers={**customer_headers, "Idempotency-Key": "k"}, json={})
        assert response.status_code == 409
        assert len(services.orders.requests) == 1

    async def test_call_is_not_retried_when_retry_after_exceeds_the_deadline(
        self, gateway: httpx.AsyncClient, services: Services
    ) -> None:
        services.orders.respond("GET", "/products", {})
        services.orders.fail_first("GET", "/products", times=1, headers={"retry-after": "10"})
        response = await gateway.get("/v2/products", headers={"X-Request-Timeout-Ms": "9000"})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "10"

    async def test_retries_stay_within_the_budget_when_some_calls_always_fail(
        self, open_gateway: OpenGateway, services: Services, metrics: RecordedMetrics
    ) -> None:
        """A third of the calls fail, which does not open the circuit, so only the budget limits the retries."""
        rounds, retry_budget = 15, 0.2
        services.orders.respond("GET", "/products", {})
        services.orders.respond_problem("GET", "/products/mug", status=503, slug="unavailable")
        async with open_gateway(retry_budget=retry_budget, retries_per_second=0) as gateway:
            for _ in range(rounds):
                await asyncio.gather(*(gateway.get(f"/v2/products{path}") for path in ("", "", "/mug")))
            assert await read_circuit_state(gateway) == "closed"
        failed_attempts = len(services.orders.requests_for("GET", "/products/mug"))
        assert rounds < failed_attempts <= rounds + retry_budget * 3 * rounds
        assert metrics.value("hopline.gateway.retries", {**ORDERS_ATTRIBUTES, "hopline.paid": False}) > 0


class TestAllCallsFail:
    async def test_attempts_are_bounded_and_the_circuit_opens_when_all_calls_fail(
        self, open_gateway: OpenGateway, services: Services, metrics: RecordedMetrics
    ) -> None:
        services.orders.respond_problem("GET", "/products", status=503, slug="unavailable")
        async with open_gateway(breaker_open_seconds=60) as gateway:
            results = Counter[str]()
            for _ in range(20):
                results += await get_concurrently(gateway, "/v2/products", 5)
            assert await read_circuit_state(gateway) == "open"
        assert set(results) == {"unavailable", "circuit-open"}
        attempts = len(services.orders.requests_for("GET", "/products"))
        assert 10 <= attempts < 10 + 5, "the tenth failure opens the circuit, while four other calls are in flight"
        rejected = metrics.value("hopline.gateway.refusals", {**ORDERS_ATTRIBUTES, "hopline.refused_by": "circuit"})
        assert rejected >= results["circuit-open"] >= results.total() - attempts
        assert (
            metrics.value("hopline.gateway.circuit.turns", {**ORDERS_ATTRIBUTES, "hopline.circuit.state": "open"}) == 1
        )

    async def test_circuit_opens_for_server_errors_but_not_for_client_errors(
        self, open_gateway: OpenGateway, services: Services
    ) -> None:
        services.orders.respond_problem("GET", "/products/nothing", status=404, slug="not-found")
        services.orders.respond_problem("GET", "/products/bug", status=500, slug="internal")
        async with open_gateway(breaker_open_seconds=60) as gateway:
            await get_concurrently(gateway, "/v2/products/nothing", 30)
            assert await read_circuit_state(gateway) == "closed"
            await get_concurrently(gateway, "/v2/products/bug", 40)
            assert await read_circuit_state(gateway) == "open"

    async def test_other_services_are_called_when_one_fails(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.respond_problem("GET", "/products", status=503, slug="unavailable")
        services.users.respond("GET", "/users/me", {})
        async with open_gateway() as gateway:
            await get_concurrently(gateway, "/v2/products", 20)
            assert (await gateway.get("/v2/users/me", headers=customer_headers)).status_code == 200


class TestBackpressure:
    @pytest.mark.parametrize(
        ("status", "headers"), [(503, {"retry-after": "60"}), (429, {"retry-after": "60"}), (429, {})]
    )
    async def test_circuit_stays_closed_when_the_service_is_busy(
        self, open_gateway: OpenGateway, services: Services, status: int, headers: dict[str, str]
    ) -> None:
        services.orders.respond("GET", "/products", {})
        services.orders.respond_problem("GET", "/products/mug", status=status, slug="busy", headers=headers)
        async with open_gateway() as gateway:
            for _ in range(4):
                assert await get_concurrently(gateway, "/v2/products/mug", 10) == {"busy": 10}
            assert await read_circuit_state(gateway) == "closed"
            assert await get_concurrently(gateway, "/v2/products", 10) == {"ok": 10}

    async def test_circuit_stays_half_open_when_the_probe_is_rejected(
        self, open_gateway: OpenGateway, services: Services
    ) -> None:
        """A rejected probe is ignored, so the next call is the probe."""
        services.orders.respond_problem("GET", "/products", status=500, slug="internal")
        async with open_gateway(breaker_open_seconds=0.2) as gateway:
            await get_concurrently(gateway, "/v2/products", 20)
            assert await read_circuit_state(gateway) == "open"
            services.orders.respond_problem("GET", "/products", status=429, slug="busy")

            async def probe_is_rejected() -> bool:
                return await get_concurrently(gateway, "/v2/products", 1) == {"busy": 1}

            await eventually(probe_is_rejected)
            assert await read_circuit_state(gateway) == "half_open"
            services.orders.respond("GET", "/products", {})
            assert await get_concurrently(gateway, "/v2/products", 1) == {"ok": 1}
            assert await read_circuit_state(gateway) == "closed"


class TestExpensiveEndpoint:
    """Each endpoint of `gateway.dependencies.EXPENSIVE_ENDPOINTS` has a separate bulkhead and circuit."""

    @pytest.mark.parametrize(
        ("version", "endpoint"),
        [
            ("/v2", "/tokens"),
            ("/v1", "/tokens"),
            ("/v2", "/users"),
            ("/v2", "/orders"),
            ("/v2", f"/orders/{ORDER}/cancel"),
        ],
    )
    async def test_other_endpoints_are_served_when_an_expensive_one_hangs(
        self,
        open_gateway: OpenGateway,
        services: Services,
        customer_headers: dict[str, str],
        version: str,
        endpoint: str,
    ) -> None:
        services.users.respond("GET", "/users/me", {})
        services.orders.respond("GET", "/products", {})
        is_orders = endpoint.startswith("/orders")
        hanging = services.orders if is_orders else services.users
        other = "/v2/products" if is_orders else "/v2/users/me"
        hanging.hang("POST", endpoint)
        max_calls = 12  # enough failures to open the circuit
        async with open_gateway(upstream_seconds=2, breaker_open_seconds=60, max_concurrent_calls=max_calls) as gateway:

            async def call_endpoint() -> str:
                return get_result(await gateway.post(f"{version}{endpoint}", headers=customer_headers))

            async def call_other_endpoint() -> str:
                return get_result(await gateway.get(other, headers=customer_headers))

            slow = [asyncio.create_task(call_endpoint()) for _ in range(max_calls)]
            await eventually(lambda: hanging.in_flight == max_calls)
            assert await call_other_endpoint() == "ok", "other endpoints have a separate bulkhead"
            assert {await call for call in slow} == {"upstream-timeout"}
            assert await call_endpoint() == "circuit-open"
            assert await call_other_endpoint() == "ok", "other endpoints have a separate circuit"


class TestAllCallsAreSlow:
    async def test_circuit_opens_when_all_calls_time_out(self, open_gateway: OpenGateway, services: Services) -> None:
        services.orders.hang("GET", "/products")
        async with open_gateway(upstream_seconds=1, breaker_open_seconds=60) as gateway:
            slow = await get_concurrently(gateway, "/v2/products", 15)
            quick = await get_concurrently(gateway, "/v2/products", 15)
        assert slow == {"upstream-timeout": 15}
        assert quick == {"circuit-open": 15}
        assert len(services.orders.requests_for("GET", "/products")) == 15
        await eventually(lambda: services.orders.in_flight == 0)

    async def test_circuit_stays_closed_when_clients_have_short_timeouts_or_disconnect(
        self, open_gateway: OpenGateway, services: Services
    ) -> None:
        services.orders.hang("GET", "/products")
        short_timeout = {"X-Request-Timeout-Ms": "150"}
        async with open_gateway() as gateway:
            while len(services.orders.requests) < 12:
                assert (await gateway.get("/v2/products", headers=short_timeout)).status_code == 504
            cancelled = [asyncio.create_task(gateway.get("/v2/products")) for _ in range(20)]
            await eventually(lambda: services.orders.in_flight >= 20)
            for request in cancelled:
                request.cancel()
            await eventually(lambda: services.orders.in_flight == 0)
            assert await read_circuit_state(gateway) == "closed"

    async def test_other_services_are_called_when_one_is_slow(
        self, open_gateway: OpenGateway, services: Services, customer_headers: dict[str, str]
    ) -> None:
        services.orders.hang("GET", "/products")
        services.users.respond("GET", "/users/me", {})
        max_calls, rejected_calls = 3, 4
        async with open_gateway(max_concurrent_calls=max_calls) as gateway:
            number = 2 * max_calls + rejected_calls  # as many calls wait as are in flight
            calls = [asyncio.create_task(gateway.get("/v2/products")) for _ in range(number)]
            await eventually(lambda: sum(call.done() for call in calls) == rejected_calls)
            await eventually(lambda: services.orders.in_flight == max_calls)
            dependencies = (await gateway.get("/health/ready")).json()["dependencies"]
            assert dependencies["orders"]["calls_in_flight"] == max_calls
            assert "404" in dependencies["orders"]["error"], "the readiness probe takes no slot and gets the fake's 404"
            assert (await gateway.get("/v2/users/me", headers=customer_headers)).status_code == 200
            assert {get_result(call.result()) for call in calls if call.done()} == {"upstream-busy"}
            for call in calls:
                call.cancel()


class TestRecovery:
    async def test_one_probe_closes_the_circuit_when_the_service_is_back(
        self, open_gateway: OpenGateway, services: Services, metrics: RecordedMetrics
    ) -> None:
        services.orders.respond_problem("GET", "/products", status=503, slug="unavailable")
        async with open_gateway(breaker_open_seconds=0.2) as gateway:
            await get_concurrently(gateway, "/v2/products", 20)
            services.orders.hang("GET", "/products")
            probe = await self._start_probe(gateway, services)
            assert await get_concurrently(gateway, "/v2/products", 20) == {"circuit-open": 20}
            assert services.orders.in_flight == 1
            assert metrics.value("hopline.gateway.circuit.state", ORDERS_ATTRIBUTES) == 1

            probe.cancel()  # a cancelled probe is ignored, so the next call is the probe
            await eventually(lambda: services.orders.in_flight == 0)
            services.orders.respond("GET", "/products", {})
            await eventually(lambda: self._serves_products(gateway))
            assert await read_circuit_state(gateway) == "closed"
            assert await get_concurrently(gateway, "/v2/products", 20) == {"ok": 20}

    async def _start_probe(self, gateway: httpx.AsyncClient, services: Services) -> "asyncio.Task[httpx.Response]":
        """Send requests until the circuit admits one as the probe, which hangs at the service. Return its task."""

        async def send_request() -> "asyncio.Task[httpx.Response] | None":
            request = asyncio.create_task(gateway.get("/v2/products"))
            await eventually(lambda: request.done() or services.orders.in_flight)
            return None if request.done() else request

        probe = await eventually(send_request)
        assert probe is not None
        return probe

    async def _serves_products(self, gateway: httpx.AsyncClient) -> bool:
        return (await gateway.get("/v2/products")).status_code == 200
