"""Routes of the page in development: traces, telemetry and the state of the gateway. Elsewhere they do not exist."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response

from gateway.browser.otlp import MetricsData, TracesData
from gateway.browser.resilience import get_resilience_state
from gateway.browser.schemas import ResilienceState, Trace, accepts_telemetry
from gateway.browser.telemetry import ForwarderDep, limit_telemetry, open_forwarder
from gateway.browser.traces import TRACE_ID, TraceReader, open_trace_reader
from gateway.dependencies import Upstreams
from gateway.errors import TraceNotFoundError
from gateway.settings import Settings
from shared.auth import CurrentIdentity
from shared.config import Environment

router = APIRouter(prefix="/browser", include_in_schema=False)
telemetry_router = APIRouter(
    prefix="/browser/telemetry/v1", include_in_schema=False, dependencies=[Depends(limit_telemetry)]
)


def get_routers(settings: Settings) -> list[APIRouter]:
    """Return the routes that this environment has. The routes for telemetry need an OTLP receiver."""
    if settings.environment is not Environment.DEVELOPMENT:
        return []
    return [router, telemetry_router] if accepts_telemetry(settings) else [router]


@asynccontextmanager
async def open_clients(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """Open the resources of these routes, for the application's lifespan."""
    async with AsyncExitStack() as stack:
        if settings.environment is Environment.DEVELOPMENT:
            app.state.trace_reader = await stack.enter_async_context(open_trace_reader(settings))
            if accepts_telemetry(settings):
                app.state.telemetry_forwarder = await stack.enter_async_context(open_forwarder(settings))
        yield


async def trace_reader(request: Request) -> TraceReader:
    """Return the reader of traces."""
    reader: TraceReader = request.app.state.trace_reader
    return reader


@router.get("/traces/{trace_id}")
async def read_trace(
    trace_id: str,
    caller: CurrentIdentity,
    reader: Annotated[TraceReader, Depends(trace_reader)],
    response: Response,
    prefer: Annotated[Sequence[str], Header()] = (),
) -> Trace:
    """Return the spans of one of the caller's requests, and of everything that the request caused.

    With `Prefer: respond-async` (RFC 7240 §4.1), the response for a missing trace is 202 without spans instead of 404.
    The trace may arrive later, and browsers log each 404 as an error of the page. An invalid trace id gets 404.
    """
    response.headers["Cache-Control"] = "no-store"
    try:
        return await reader.read(trace_id, user_id=caller.user_id)
    except TraceNotFoundError:
        preferences = {item.partition(";")[0].strip().lower() for line in prefer for item in line.split(",")}
        if "respond-async" not in preferences or not TRACE_ID.fullmatch(trace_id):
            raise
        response.status_code = 202
        return Trace(trace_id=trace_id, spans=[], complete=False)


@router.get("/resilience")
async def read_resilience(request: Request, response: Response) -> ResilienceState:
    """Return the limits, circuits and budgets of the process that responds."""
    response.headers["Cache-Control"] = "no-store"
    upstreams: Upstreams = request.app.state.upstreams
    return get_resilience_state(request.app.state.load, (upstreams.users, upstreams.orders, upstreams.notifications))


@telemetry_router.post("/traces")
async def receive_traces(data: TracesData, forwarder: ForwarderDep) -> dict[str, object]:
    """Queue spans of a page (OTLP/HTTP JSON)."""
    forwarder.forward(data)
    return {}


@telemetry_router.post("/metrics")
async def receive_metrics(data: MetricsData, forwarder: ForwarderDep) -> dict[str, object]:
    """Queue metrics of a page (OTLP/HTTP JSON)."""
    forwarder.forward(data)
    return {}
