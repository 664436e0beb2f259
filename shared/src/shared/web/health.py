"""Health probes.

- `GET /health/live`: the event loop responds. It checks no dependency, because a restart would not repair one.
- `GET /health/startup`: the start is complete.
- `GET /health/ready`: checks all dependencies concurrently, each within a second. 503 if a critical one is down or the
  process drains; 200 with `degraded` if an optional one is down. Requests that arrive during a check share its result,
  because anyone can request the readiness of the gateway, and a check takes connections of all services.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Literal

import structlog
from fastapi import APIRouter, Request, Response
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from pydantic import BaseModel, ConfigDict

log = structlog.get_logger(__name__)

PROBE_TIMEOUT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """A dependency of the service: `probe` raises if it is down.

    `details` returns more information about it, in JSON types.
    """

    name: str
    probe: Callable[[], Awaitable[object]]
    critical: bool = True
    details: Callable[[], dict[str, object]] = dict


@dataclass(kw_only=True)
class Health:
    """The health of a service, at `app.state.health`.

    Without `expose_errors`, readiness reports only the exception's type for a dependency that is down, because messages
    contain names of internal hosts and the gateway's readiness is public. The log has the whole error, once per outage.
    """

    expose_errors: bool = True
    dependencies: list[Dependency] = field(default_factory=list)
    drains: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    started: bool = False
    draining: bool = False
    running_check: "asyncio.Task[Readiness] | None" = None
    _down: set[str] = field(default_factory=set)

    def add(
        self,
        name: str,
        probe: Callable[[], Awaitable[object]],
        *,
        critical: bool = True,
        details: Callable[[], dict[str, object]] = dict,
    ) -> None:
        """Add a dependency to readiness; `details` are part of the response."""
        self.dependencies.append(Dependency(name=name, probe=probe, critical=critical, details=details))

    def record(self, name: str, *, error: str | None) -> None:
        """Record the state of a dependency: its error, or None if it is up. Log a warning when it goes down."""
        if error is None:
            self._down.discard(name)
        elif name not in self._down:
            self._down.add(name)
            log.warning("dependency_down", dependency=name, error=error)

    def on_drain(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Register a callback for the drain, after SIGTERM and before the server closes its sockets."""
        self.drains.append(callback)

    async def drain(self, *, grace_s: float) -> None:
        """Fail readiness, run the callbacks, and wait at least `grace_s` for load balancers to detect the failure."""
        self.draining = True
        results = await asyncio.gather(
            asyncio.sleep(grace_s), *(callback() for callback in self.drains), return_exceptions=True
        )
        for result in results:
            if isinstance(result, Exception):
                log.error("drain_failed", exc_info=result)


class DependencyStatus(BaseModel):
    """The state of a dependency and its details; `latency_ms` is the duration of the probe in milliseconds."""

    model_config = ConfigDict(extra="allow")

    status: Literal["up", "down"]
    latency_ms: float
    error: str | None = None


class Readiness(BaseModel):
    """The body of `GET /health/ready`."""

    status: Literal["ready", "degraded", "not_ready"]
    dependencies: dict[str, DependencyStatus]


class Liveness(BaseModel):
    """The body of `GET /health/live` and `GET /health/startup`."""

    status: Literal["live", "started", "starting"]


router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> Liveness:
    """Return 200, which shows that the process responds."""
    return Liveness(status="live")


@router.get("/startup", responses={503: {"model": Liveness}})
async def startup(request: Request, response: Response) -> Liveness:
    """Return whether the start is complete: 503 until then."""
    health: Health = request.app.state.health
    if not health.started:
        response.status_code = 503
    return Liveness(status="started" if health.started else "starting")


@router.get("/ready", responses={503: {"model": Readiness}})
async def ready(request: Request, response: Response) -> Readiness:
    """Return whether the service can receive traffic, and the state of each dependency."""
    health: Health = request.app.state.health
    if health.running_check is None or health.running_check.done():
        # In an empty context, because the deadline of one request must not end the check of others.
        health.running_check = asyncio.create_task(check(health), context=Context())
    readiness = await asyncio.shield(health.running_check)
    if readiness.status == "not_ready":
        response.status_code = 503
    return readiness


async def check(health: Health) -> Readiness:
    """Probe all dependencies concurrently and return the readiness. The probes create no spans."""
    with suppress_http_instrumentation():
        statuses = await asyncio.gather(*(_probe(dependency, health) for dependency in health.dependencies))
    by_name = {dependency.name: status for dependency, status in zip(health.dependencies, statuses, strict=True)}
    down = [dependency for dependency in health.dependencies if by_name[dependency.name].status == "down"]
    if health.draining or not health.started or any(dependency.critical for dependency in down):
        return Readiness(status="not_ready", dependencies=by_name)
    return Readiness(status="degraded" if down else "ready", dependencies=by_name)


async def _probe(dependency: Dependency, health: Health) -> DependencyStatus:
    started = time.perf_counter()
    error: str | None = None
    public_error: str | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await dependency.probe()
    except TimeoutError:
        error = public_error = f"no response within {PROBE_TIMEOUT_S:g} s"
    except Exception as failure:  # noqa: BLE001 - any exception of a probe means that the dependency is down
        error = f"{type(failure).__name__}: {failure}"
        public_error = error if health.expose_errors else type(failure).__name__
    health.record(dependency.name, error=error)
    latency_ms = round((time.perf_counter() - started) * 1000, 2)
    status: Literal["up", "down"] = "down" if error else "up"
    return DependencyStatus(status=status, latency_ms=latency_ms, error=public_error, **dependency.details())
