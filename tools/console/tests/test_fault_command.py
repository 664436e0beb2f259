"""`python -m console fault` with a fake gateway that stores switches in a list."""

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

RunFault = Callable[..., Awaitable[str]]


class Gateway:
    """A gateway with one admin. `has_fault_switches` is false outside development."""

    def __init__(self) -> None:
        self.faults: list[dict[str, Any]] = []
        self.removals: list[dict[str, str]] = []
        self.has_fault_switches = True
        self.rejection: dict[str, Any] = {}

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
        if not self.has_fault_switches:
            return JSONResponse({"title": "No such resource"}, 404)
        assert request.headers["authorization"] == "Bearer admin's"
        if request.method == "DELETE":
            self.removals.append(dict(request.query_params))
            self.faults.clear()
            return Response(status_code=204)
        if request.method == "POST":
            if self.rejection:
                return JSONResponse(self.rejection, 422)
            defaults = {"source": "gateway", "value": 2_000, "until": "2026-11-25T19:30:12.5Z"}
            self.faults.append({**defaults, **await request.json()})
            return JSONResponse(self.faults[-1], 201)
        return JSONResponse({"items": self.faults})


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def run_fault(gateway: Gateway) -> AsyncIterator[RunFault]:
    """Return a function that runs the command and returns its output."""
    async with serve(gateway.app()) as url:
        stack = Stack.from_environment({"HOPLINE_GATEWAY_URL": url})

        async def run(*, password: str = "", kind: str | None = None, **fields: Any) -> str:
            console = Console(width=120, record=True, quiet=False, file=None)
            admin = Admin.from_environment({"ADMIN_PASSWORD": password})
            switches = Switches(stack=stack, admin=admin, narrator=Narrator(console))
            await switches.run(kind=kind, fields=fields)
            return console.export_text()

        yield run


class TestFaultCommand:
    async def test_fault_is_switched_on_and_its_duration_printed(self, run_fault: RunFault, gateway: Gateway) -> None:
        printed = await run_fault(target="orders", kind="slow", for_seconds=30)
        assert "gateway → orders: responses are delayed by 2000 ms" in printed
        assert "until 19:30:12 UTC" in printed
        assert gateway.faults[0]["for_seconds"] == 30

    async def test_source_and_value_are_sent(self, run_fault: RunFault, gateway: Gateway) -> None:
        printed = await run_fault(target="users", kind="errors", source="workers", value=30)
        assert "workers → users: 30 % of the calls get 503" in printed

    async def test_crash_point_is_printed(self, run_fault: RunFault, gateway: Gateway) -> None:
        at = "consumer.after_commit"
        assert f"crashes at {at}" in await run_fault(
            target="notifications", kind="crash", at=at, source="notifications"
        )
        assert gateway.faults[0]["at"] == at

    async def test_fault_is_removed_when_the_kind_is_none(self, run_fault: RunFault, gateway: Gateway) -> None:
        await run_fault(target="orders", kind="hang")
        assert "no fault is injected" in await run_fault(target="orders", kind="none")
        assert gateway.removals == [{"target": "orders"}]

    async def test_faults_are_listed_when_no_kind_is_given(self, run_fault: RunFault, gateway: Gateway) -> None:
        assert "no fault is injected" in await run_fault()
        await run_fault(target="orders", kind="disconnect", value=100)
        assert "gateway → orders: 100 % of the calls lose their connection" in await run_fault()

    async def test_command_is_rejected_when_the_target_is_missing(self, run_fault: RunFault) -> None:
        with pytest.raises(FailedError, match="Missing TARGET"):
            await run_fault(kind="slow")

    async def test_command_is_rejected_when_the_kind_is_missing(self, run_fault: RunFault) -> None:
        with pytest.raises(FailedError, match=r"KIND\. Expected one of: slow, errors, hang, disconnect, crash, none"):
            await run_fault(target="orders")

    async def test_error_lists_only_the_invalid_fields_when_the_request_is_rejected(
        self, run_fault: RunFault, gateway: Gateway
    ) -> None:
        invalid_field = {"field": "target", "message": f"Input should be {', '.join(['this'] * 60)} or that"}
        gateway.rejection = {"title": "The request is not valid", "detail": "See errors", "errors": [invalid_field]}
        with pytest.raises(FailedError) as rejected:
            await run_fault(target="elsewhere", kind="slow")
        assert str(rejected.value) == f"POST /v2/faults got 422: target: {invalid_field['message']}"

    async def test_error_suggests_make_up_when_no_stack_is_running(self) -> None:
        stack = Stack.from_environment({"HOPLINE_GATEWAY_URL": "http://127.0.0.1:9"})
        switches = Switches(stack=stack, admin=Admin.from_environment({}), narrator=Narrator(Console(file=None)))
        with pytest.raises(FailedError) as failed:
            await switches.run(kind="slow", fields={"target": "orders"})
        assert str(failed.value) == "cannot connect to http://127.0.0.1:9: run make up"

    async def test_error_says_that_an_admin_is_required_when_the_login_fails(self, run_fault: RunFault) -> None:
        with pytest.raises(FailedError, match=r"got 401.*\nOnly an admin can inject faults"):
            await run_fault(password="guessed", target="orders", kind="slow")

    async def test_error_is_raised_when_the_gateway_has_no_fault_switches(
        self, run_fault: RunFault, gateway: Gateway
    ) -> None:
        gateway.has_fault_switches = False
        with pytest.raises(FailedError, match="POST /v2/faults got 404"):
            await run_fault(target="orders", kind="slow")
