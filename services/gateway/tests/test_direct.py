"""Routes that need nothing of FastAPI when they are asked for, and those that do."""

import asyncio
from typing import Annotated, NoReturn

import fastapi.routing
import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from services.gateway.tests.conftest import Services

from gateway.routes.direct import DirectRoute
from shared.error_handlers import install_error_handlers
from shared.errors import Forbidden
from testkit.apps import http_client, serve

ROUTER = APIRouter(route_class=DirectRoute)


async def agent(request: Request) -> str:
    """A dependency on the request."""
    return request.headers["user-agent"]


async def refuse() -> None:
    """A dependency on nothing."""
    raise Forbidden("Not today")


@ROUTER.get("/greeting")
async def greet(request: Request, name: Annotated[str, Depends(agent)]) -> Response:
    """Takes the request and a dependency."""
    return Response(f"{request.method} by {name}")


@ROUTER.get("/refused", dependencies=[Depends(refuse)])
async def never() -> Response:
    """Not reached."""
    raise AssertionError


@ROUTER.get("/squares")
async def square(number: int) -> Response:
    """Takes a parameter."""
    return Response(str(number * number))


class Greeting:
    """A dependency that is made anew for each request, and can be called as well."""

    async def __call__(self) -> str:
        """Greet."""
        return "Hello"


@ROUTER.get("/greetings")
async def greet_again(greeting: Annotated[Greeting, Depends()]) -> Response:
    """Takes what is made."""
    return Response(await greeting())


async def noted(request: Request) -> list[str]:
    """A dependency that leaves a mark."""
    marks: list[str] = request.scope.setdefault("marks", [])
    marks.append("noted")
    return marks


@ROUTER.get("/marks", dependencies=[Depends(noted)])
async def mark(marks: Annotated[list[str], Depends(noted)]) -> Response:
    """Asks for the same again."""
    return Response(" ".join(marks))


class Turns:
    """A dependency that is given to as many at a time as it says."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0

    async def __call__(self) -> None:
        """Let others in, if they may."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        for _ in range(10):
            await asyncio.sleep(0)
        self.inside -= 1


TURNS = Turns()


@ROUTER.get("/turns", dependencies=[Depends(TURNS, max_concurrency=1)])
async def take_turns() -> Response:
    """One after the other."""
    return Response()


async def take(request: Request) -> Response:
    """Takes a body of its own."""
    return Response(await request.body())


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    install_error_handlers(app)
    return app


@pytest.fixture
def no_solving(monkeypatch: pytest.MonkeyPatch) -> None:
    async def solve(**_: object) -> NoReturn:
        raise AssertionError("FastAPI was asked")

    monkeypatch.setattr(fastapi.routing, "solve_dependencies", solve)


@pytest.mark.usefixtures("no_solving")
class TestDirect:
    async def test_calls_the_dependencies_and_the_endpoint(self, app: FastAPI) -> None:
        app.router.routes.extend(ROUTER.routes)
        async with serve(app) as url, http_client(url) as client:
            assert (await client.get("/greeting", headers={"User-Agent": "Ann"})).text == "GET by Ann"

    async def test_answers_what_a_dependency_raises(self, app: FastAPI) -> None:
        app.router.routes.extend(ROUTER.routes)
        async with serve(app) as url, http_client(url) as client:
            refused = await client.get("/refused")
        assert refused.status_code == 403
        assert refused.json()["detail"] == "Not today"

    async def test_is_how_the_gateway_answers_for_one_service_and_for_several(
        self, gateway: httpx.AsyncClient, services: Services, token: dict[str, str]
    ) -> None:
        services.orders.answers("POST", "/orders", {"id": "o"}, status=201)
        services.users.answers("GET", "/users/me", {})
        services.orders.answers("GET", "/orders/recent", [])
        services.notifications.answers("GET", "/notifications/summary", {})
        placed = await gateway.post("/v2/orders", headers=token | {"Idempotency-Key": "k"}, json={})
        assert placed.status_code == 201
        assert (await gateway.get("/v2/dashboard", headers=token)).status_code == 200
        assert (await gateway.get("/v2/dashboard")).status_code == 401


class TestOthers:
    async def test_parameters_are_checked(self, app: FastAPI) -> None:
        app.router.routes.extend(ROUTER.routes)
        async with serve(app) as url, http_client(url) as client:
            assert (await client.get("/squares", params={"number": 3})).text == "9"
            assert (await client.get("/squares", params={"number": "three"})).status_code == 422

    async def test_a_class_is_made_and_not_called(self, app: FastAPI) -> None:
        app.router.routes.extend(ROUTER.routes)
        async with serve(app) as url, http_client(url) as client:
            assert (await client.get("/greetings")).text == "Hello"

    async def test_what_is_asked_for_twice_is_given_once(self, app: FastAPI) -> None:
        app.router.routes.extend(ROUTER.routes)
        async with serve(app) as url, http_client(url) as client:
            assert (await client.get("/marks")).text == "noted"

    async def test_what_one_may_have_at_a_time_no_other_has(self, app: FastAPI) -> None:
        app.router.routes.extend(ROUTER.routes)
        answers = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=answers, base_url="http://gateway") as client:
            await asyncio.gather(*(client.get("/turns") for _ in range(3)))
        assert TURNS.most == 1

    async def test_a_bound_of_its_own_for_bodies_holds(self, app: FastAPI) -> None:
        app.router.routes.append(DirectRoute("/taken", take, methods=["POST"], max_body_size=3))
        async with serve(app) as url, http_client(url) as client:
            assert (await client.post("/taken", content=b"abc")).text == "abc"
            assert (await client.post("/taken", content=b"abcd")).status_code == 413

    async def test_a_router_that_includes_it_adds_its_own_dependencies(self, app: FastAPI) -> None:
        app.include_router(ROUTER, dependencies=[Depends(refuse)])
        async with serve(app) as url, http_client(url) as client:
            assert (await client.get("/greeting")).status_code == 403
