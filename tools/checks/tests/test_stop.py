"""In each mode, the timeout of a graceful stop is longer than the time that a process may need to stop."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from annotated_types import Le
from pydantic.fields import FieldInfo

from checks.containers.compose_files import services
from checks.kubernetes.manifests import Rendering, Workload
from checks.kubernetes.settings import environment
from embedded import processes as embedded
from notifications.realtime.drain import FLUSH_TIMEOUT_S
from notifications.settings import Settings as NotificationsSettings
from shared.config import ServiceSettings
from shared.messaging.consumer import DRAIN_TIMEOUT_S
from shared.server import gunicorn
from shared.server.worker import FIRST_REQUEST_TIMEOUT_S, DrainingWorker
from shared.telemetry.setup import FLUSH_S
from workers.jobs.runner import RELEASE_TIMEOUT_S
from workers.queue.arq_redis import CLOSE_TIMEOUT_S
from workers.settings import Settings as WorkerSettings

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]

MARGIN_S = 5
"""Reserve of each grace period, for work of a stop that has no timeout of its own."""
ENDPOINT_REMOVAL_S = 5
"""Time after which endpoints and proxies do not send requests to a deleted pod any more."""


def workloads_of(overlay: Rendering, component: str) -> Iterator[Workload]:
    found = [workload for workload in overlay.workloads if workload.labels["app.kubernetes.io/component"] == component]
    assert found
    yield from found


def setting(overlay: Rendering, workload: Workload, name: str, default: float) -> float:
    return float(environment(overlay, workload, workload.pod["containers"][0]).get(name) or default)


def maximum(field: FieldInfo) -> float:
    [limit] = [constraint.le for constraint in field.metadata if isinstance(constraint, Le)]
    return float(limit)  # type: ignore[arg-type]  # of a number


@pytest.mark.parametrize("overlay_name", ["kind", "prod"])
def test_grace_period_covers_gunicorns_timeout_and_the_pre_stop(rendered: Render, overlay_name: str) -> None:
    for workload in workloads_of(rendered(overlay_name), "service"):
        pre_stop = workload.pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        needed = pre_stop + gunicorn.graceful_timeout + MARGIN_S
        assert workload.pod["terminationGracePeriodSeconds"] >= needed, workload.name


def test_service_drains_within_gunicorns_timeout_when_its_settings_are_at_their_maximum() -> None:
    grace = maximum(ServiceSettings.model_fields["drain_seconds"])
    sockets = maximum(NotificationsSettings.model_fields["ws_drain_seconds"])
    drain = max(grace, sockets + FLUSH_TIMEOUT_S)
    in_flight = DrainingWorker.CONFIG_KWARGS["timeout_graceful_shutdown"]
    assert drain + FIRST_REQUEST_TIMEOUT_S + in_flight + DRAIN_TIMEOUT_S + FLUSH_S < gunicorn.graceful_timeout


@pytest.mark.parametrize("overlay_name", ["kind", "prod"])
def test_worker_grace_period_covers_its_jobs(rendered: Render, overlay_name: str) -> None:
    overlay = rendered(overlay_name)
    for workload in workloads_of(overlay, "worker"):
        jobs = setting(overlay, workload, "SHUTDOWN_SECONDS", WorkerSettings.model_fields["shutdown_seconds"].default)
        needed = jobs + RELEASE_TIMEOUT_S + CLOSE_TIMEOUT_S + DRAIN_TIMEOUT_S + FLUSH_S + MARGIN_S
        assert workload.pod["terminationGracePeriodSeconds"] >= needed


def test_stop_timeout_is_the_same_in_every_mode(root: Path, rendered: Render) -> None:
    grace_periods = {
        workload.pod["terminationGracePeriodSeconds"] for workload in workloads_of(rendered("prod"), "service")
    }
    ours = [service for service in services(root) if "build" in service.definition]
    assert {service.definition["stop_grace_period"] for service in ours} == {f"{seconds}s" for seconds in grace_periods}
    assert grace_periods == {embedded.GRACE_SECONDS}


def test_pre_stop_lasts_until_endpoints_have_removed_the_pod(rendered: Render) -> None:
    for workload in workloads_of(rendered("prod"), "service"):
        assert workload.pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] >= ENDPOINT_REMOVAL_S
