"""Probes with real dependency status.

- `GET /health/live`: the event loop answers. It looks at nothing else: a restart heals no database.
- `GET /health/startup`: the lifespan has completed.
- `GET /health/ready`: every dependency, asked now, all at once, each within a second. 503 where a critical one is
  down, or while draining; 200 `degraded` where an optional one is down.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

log = structlog.get_logger(__name__)

PROBE_TIMEOUT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """Something the service needs: `probe` returns when it is well and raises when not.

    `details` are what the service knows of it beside that, in JSON's types.
    """

    name: str
    probe: Callable[[], Awaitable[object]]
    critical: bool = True
    details: Callable[[], dict[str, object]] = dict


@dataclass(kw_only=True)
class Health:
    """What a service knows of itself; lives at `app.state.health`.

    Without `tells_why`, readiness says of a dependency that is down what kind of failure it is and no more: errors name
    hosts of ours, and anybody can ask the gateway. The log has all of it, once for each time that one goes down.
    """

    tells_why: bool = True
    dependencies: list[Dependency] = field(default_factory=list)
    drains: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    started: bool = False
    draining: bool = False
    _down: set[str] = field(default_factory=set)

    def add(
        self,
        name: str,
        probe: Callable[[], Awaitable[object]],
        *,
        critical: bool = True,
        details: Callable[[], dict[str, object]] = dict,
    ) -> None:
        """Have `probe` asked by readiness, and `details` told with its answer."""
        self.dependencies.append(Dependency(name=name, probe=probe, critical=critical, details=details))

    def note(self, name: str, *, error: str | None) -> None:
        """Take note of how a dependency was just now; None is well."""
        if error is None:
            self._down.discard(name)
        elif name not in self._down:
            self._down.add(name)
            log.warning("dependency_down", dependency=name, error=error)

    def on_drain(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have `callback` awaited after SIGTERM, while the service still answers, before sockets are closed."""
        self.drains.append(callback)

    async def drain(self, *, grace_s: float) -> None:
        """Fail readiness, run what was registered, and give load balancers `grace_s` to notice."""
        self.draining = True
        results = await asyncio.gather(
            asyncio.sleep(grace_s), *(callback() for callback in self.drains), return_exceptions=True
        )
        for result in results:
            if isinstance(result, Exception):
                log.error("drain_failed", exc_info=result)


class DependencyStatus(BaseModel):
    """One dependency as readiness saw it, and its details; `latency_ms` is the probe's time in milliseconds."""

    model_config = ConfigDict(extra="allow")

    status: Literal["up", "down"]
    latency_ms: float
    error: str | None = None


class Readiness(BaseModel):
    """The body of `GET /health/ready`."""

    status: Literal["ready", "degraded", "not_ready"]
    dependencies: dict[str, DependencyStatus]


class Liveness(BaseModel):
    """The body of the other two probes."""

    status: Literal["live", "started", "starting"]


router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def live() -> Liveness:
    """Say that the process answers."""
    return Liveness(status="live")


@router.get("/startup", responses={503: {"model": Liveness}})
async def startup(request: Request, response: Response) -> Liveness:
    """Say whether the start is complete: 503 until then."""
    health: Health = request.app.state.health
    if not health.started:
        response.status_code = 503
    return Liveness(status="started" if health.started else "starting")


@router.get("/ready", responses={503: {"model": Readiness}})
async def ready(request: Request, response: Response) -> Readiness:
    """Say whether traffic is welcome, and how each dependency is."""
    health: Health = request.app.state.health
    readiness = await check(health)
    if readiness.status == "not_ready":
        response.status_code = 503
    return readiness


async def check(health: Health) -> Readiness:
    """Ask every dependency at once."""
    statuses = await asyncio.gather(*(_ask(dependency, health) for dependency in health.dependencies))
    by_name = {dependency.name: status for dependency, status in zip(health.dependencies, statuses, strict=True)}
    down = [dependency for dependency in health.dependencies if by_name[dependency.name].status == "down"]
    if health.draining or not health.started or any(dependency.critical for dependency in down):
        return Readiness(status="not_ready", dependencies=by_name)
    return Readiness(status="degraded" if down else "ready", dependencies=by_name)


async def _ask(dependency: Dependency, health: Health) -> DependencyStatus:
    started = time.perf_counter()
    error: str | None = None
    told: str | None = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await dependency.probe()
    except TimeoutError:
        error = told = f"no answer within {PROBE_TIMEOUT_S:g} s"
    except Exception as failure:  # noqa: BLE001 - whatever a probe raises means "down"
        error = f"{type(failure).__name__}: {failure}"
        told = error if health.tells_why else type(failure).__name__
    health.note(dependency.name, error=error)
    latency_ms = round((time.perf_counter() - started) * 1000, 2)
    status: Literal["up", "down"] = "down" if error else "up"
    return DependencyStatus(status=status, latency_ms=latency_ms, error=told, **dependency.details())
