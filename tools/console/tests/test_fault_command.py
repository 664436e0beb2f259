"""`python -m console fault` against a gateway that keeps switches in a list."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from rich.console import Console
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console.failures import FailedError
from console.faults import Admin, Switches
from console.narration import Narrator
from console.stack import Stack
from testkit.apps import serve

Run = Callable[..., Awaitable[str]]


class Gateway:
    """Lets one admin in; `knows_switches` only in development."""

    def __init__(self) -> None:
        self.faults: list[dict[str, Any]] = []
        self.cleared: list[dict[str, str]] = []
        self.knows_switches = True
        self.refusal: dict[str, Any] = {}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v2/tokens", self.token, methods=["POST"]),
                Route("/v2/faults", self.switch, methods=["GET", "POST", "DELETE"]),
            ]
        )

    async def token(self, request: Request) -> Response:
        form = await request.form()
        if (form["username"], form["password"]) != ("admin@hopline.example", "hopline-admin"):
            return JSONResponse({"title": "wrong credentials"}, 401)
        return JSONResponse({"access_token": "admin's"})

    async def switch(self, request: Request) -> Response:
        if not self.knows_switches:
            return JSONResponse({"title": "No such resource"}, 404)
        assert request.headers["authorization"] == "Bearer admin's"
        if request.method == "DELETE":
            self.cleared.append(dict(request.query_params))
            self.faults.clear()
            return Response(status_code=204)
        if request.method == "POST":
            if self.refusal:
                return JSONResponse(self.refusal, 422)
            usual = {"source": "gateway", "value": 2_000, "until": "2026-11-25T19:30:12.5Z"}
            self.faults.append({**usual, **await request.json()})
            return JSONResponse(self.faults[-1], 201)
        return JSONResponse({"items": self.faults})


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def run(gateway: Gateway) -> AsyncIterator[Run]:
    """Run the command; what it printed."""

    async with serve(gateway.app()) as url:
        stack = Stack.from_environment({"HOPLINE_GATEWAY_URL": url})

        async def command(*, password: str = "", kind: str | None = None, **given: Any) -> str:
            console = Console(width=120, record=True, quiet=False, file=None)
            admin = Admin.from_environment({"ADMIN_PASSWORD": password})
            switches = Switches(stack=stack, admin=admin, narrator=Narrator(console))
            await switches.run(kind=kind, wanted=given)
            return console.export_text()

        yield command


class TestFaultCommand:
    async def test_switches_on_and_says_what_and_how_long(self, run: Run, gateway: Gateway) -> None:
        printed = await run(target="orders", kind="slow", for_seconds=30)
        assert "gateway → orders: answers come 2000 ms later" in printed
        assert "until 19:30:12 UTC" in printed
        assert gateway.faults[0]["for_seconds"] == 30

    async def test_passes_on_who_calls_and_how_much(self, run: Run, gateway: Gateway) -> None:
        printed = await run(target="users", kind="errors", source="workers", value=30)
        assert "workers → users: 30 % of the calls are answered 503" in printed

    async def test_says_where_a_process_ends(self, run: Run, gateway: Gateway) -> None:
        at = "consumer.after_commit"
        assert f"ends hard at {at}" in await run(target="notifications", kind="crash", at=at, source="notifications")
        assert gateway.faults[0]["at"] == at

    async def test_none_mends(self, run: Run, gateway: Gateway) -> None:
        await run(target="orders", kind="hang")
        assert "no fault is switched on" in await run(target="orders", kind="none")
        assert gateway.cleared == [{"target": "orders"}]

    async def test_without_a_kind_it_lists(self, run: Run, gateway: Gateway) -> None:
        assert "no fault is switched on" in await run()
        await run(target="orders", kind="disconnect", value=100)
        assert "gateway → orders: 100 % of the calls lose their connection" in await run()

    async def test_asks_for_a_target(self, run: Run) -> None:
        with pytest.raises(FailedError, match="which service"):
            await run(kind="slow")

    async def test_asks_what_shall_happen_to_the_target(self, run: Run) -> None:
        with pytest.raises(FailedError, match=r"what shall happen\? KIND=slow\|errors\|hang\|disconnect\|crash\|none"):
            await run(target="orders")

    async def test_says_what_is_wrong_and_nothing_else(self, run: Run, gateway: Gateway) -> None:
        wrong = {"field": "target", "message": f"Input should be {', '.join(['this'] * 60)} or that"}
        gateway.refusal = {"title": "The request is not valid", "detail": "See errors", "errors": [wrong]}
        with pytest.raises(FailedError) as refused:
            await run(target="elsewhere", kind="slow")
        assert str(refused.value) == f"POST /v2/faults answered 422: target: {wrong['message']}"

    async def test_says_what_to_do_where_nothing_runs(self) -> None:
        stack = Stack.from_environment({"HOPLINE_GATEWAY_URL": "http://127.0.0.1:9"})
        switches = Switches(stack=stack, admin=Admin.from_environment({}), narrator=Narrator(Console(file=None)))
        with pytest.raises(FailedError) as failed:
            await switches.run(kind="slow", wanted={"target": "orders"})
        assert str(failed.value) == "nothing answers at http://127.0.0.1:9: run make up"

    async def test_says_that_an_admin_is_needed(self, run: Run) -> None:
        with pytest.raises(FailedError, match=r"answered 401.*\nFaults are switched by an admin"):
            await run(password="guessed", target="orders", kind="slow")

    async def test_fails_where_there_are_no_switches(self, run: Run, gateway: Gateway) -> None:
        gateway.knows_switches = False
        with pytest.raises(FailedError, match="POST /v2/faults answered 404"):
            await run(target="orders", kind="slow")
