"""`make status` in this mode: containers, the content of the stores, and the sum of the memory limits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from compose import stores
from compose.engine import Container, Engine
from embedded.connections import budget
from embedded.status import ProcessStatus, Status, schedules_of

MEBIBYTE = 1024 * 1024
MAX_LIMIT_BYTES = 2048 * MEBIBYTE
"""Maximum sum of the memory limits of containers that run at the same time."""

_UNITS = {"B": 1, "KiB": 1024, "MiB": MEBIBYTE, "GiB": 1024 * MEBIBYTE}


@dataclass(frozen=True)
class ComposeStatus:
    """The state of the project; `limit_bytes` counts every replica that runs."""

    status: Status
    limit_bytes: int


def collect(engine: Engine) -> ComposeStatus:
    """Query the engine and the stores. Completed one-shots are not listed; stopped services are."""
    engine.check()
    one_shots = engine.one_shots()
    containers = [
        container for container in engine.containers() if not (container.is_done and container.service in one_shots)
    ]
    if not containers:
        return ComposeStatus(Status(), 0)
    ids = [container.id for container in containers]
    details = {found["Name"].lstrip("/"): found for found in engine.inspect(ids)}
    running = [container for container in containers if container.state == "running"]
    used = engine.stats([container.id for container in running])
    processes = [
        _process(container, details.get(container.name, {}), used.get(container.name, "")) for container in containers
    ]
    groups, last_entries = stores.streams(engine)
    rows, available = stores.databases(engine)
    databases = [row.describe(last_entry=last_entries.get(row.name, 0)) for row in rows]
    environments = [(container.service, _environment(details.get(container.name, {}))) for container in running]
    connections = budget(environments, available=available) if available else None
    limits = sum(
        int(details[container.name]["HostConfig"]["Memory"])
        for container in running
        if container.name in details  # it may have been removed meanwhile
    )
    return ComposeStatus(Status(processes, databases, connections, groups, schedules_of(rows)), limits)


def limits_of(services: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the sum of the memory limits in bytes of services that run at the same time: all except one-shots."""
    running = (service for service in services.values() if service.get("restart") != "no")
    return sum(int(service["deploy"]["resources"]["limits"]["memory"]) for service in running)


def _process(container: Container, details: Mapping[str, Any], used: str) -> ProcessStatus:
    state = details.get("State", {})
    return ProcessStatus(
        name=re.sub(r"^hopline(-\d+)?-|-1$", "", container.name),
        state="RUNNING" if container.is_ready else (container.health or container.state).upper(),
        pid=state.get("Pid") or None,
        uptime_s=_seconds_since(state.get("StartedAt", "")) if container.state == "running" else 0,
        restarts=details.get("RestartCount", 0) + _worker_restarts(state),
        memory_bytes=_bytes(used.partition("/")[0].strip()),
    )


def _environment(details: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that the container was started with."""
    return dict(variable.split("=", 1) for variable in details.get("Config", {}).get("Env") or [] if "=" in variable)


def _worker_restarts(state: Mapping[str, Any]) -> int:
    """Return how many workers gunicorn replaced since the container's start, from the output of the last probe."""
    probes = (state.get("Health") or {}).get("Log") or [{}]
    found = re.search(r"^worker_restarts=(\d{1,9})$", probes[-1].get("Output", ""), re.MULTILINE)
    return int(found[1]) if found else 0


def _seconds_since(moment: str) -> int:
    """Return the age of an RFC 3339 time with up to nine digits after the point."""
    whole = re.sub(r"\.\d+Z?$|Z$", "", moment)
    if not whole:
        return 0
    return int((datetime.now(UTC) - datetime.fromisoformat(whole).replace(tzinfo=UTC)).total_seconds())


def _bytes(printed: str) -> int:
    """Read `48.3MiB`; 0 for anything else."""
    found = re.fullmatch(r"([\d.]+)\s*([KMG]?i?B)", printed)
    return int(float(found[1]) * _UNITS.get(found[2], 0)) if found else 0
