"""The arithmetic of a graceful stop: what a process is granted, in each mode, is more than what it may take."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checks.containers.compose_files import services
from checks.kubernetes.manifests import Rendering, Workload
from checks.kubernetes.settings import environment
from embedded import processes as embedded
from notifications.realtime.drain import FLUSH_PATIENCE_S
from notifications.settings import Settings as NotificationsSettings
from shared import gunicorn
from shared.events.consumer import DRAIN_TIMEOUT_S
from shared.settings import ServiceSettings
from shared.telemetry import FLUSH_S
from shared.worker import ACCEPTED_S, DrainingWorker
from workers.arq_redis import CLOSE_TIMEOUT_S
from workers.runner import RELEASE_S
from workers.settings import Settings as WorkerSettings

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]

MARGIN_S = 5


def processes(overlay: Rendering, component: str) -> Iterator[Workload]:
    found = [each for each in overlay.workloads if each.labels["app.kubernetes.io/component"] == component]
    assert found
    yield from found


def told(overlay: Rendering, workload: Workload, name: str, default: float) -> float:
    return float(environment(overlay, workload, workload.pod["containers"][0]).get(name) or default)


@pytest.mark.parametrize("name", ["kind", "prod"])
def test_gunicorn_is_granted_its_patience_after_the_pre_stop(rendered: Render, name: str) -> None:
    for workload in processes(rendered(name), "service"):
        pre_stop = workload.pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        needed = pre_stop + gunicorn.graceful_timeout + MARGIN_S
        assert workload.pod["terminationGracePeriodSeconds"] >= needed, workload.name


@pytest.mark.parametrize("name", ["kind", "prod"])
def test_a_service_has_left_before_gunicorn_loses_patience(rendered: Render, name: str) -> None:
    overlay = rendered(name)
    for workload in processes(overlay, "service"):
        sockets = told(
            overlay, workload, "WS_DRAIN_SECONDS", NotificationsSettings.model_fields["ws_drain_seconds"].default
        )
        grace = told(overlay, workload, "DRAIN_SECONDS", ServiceSettings.model_fields["drain_seconds"].default)
        drains = max(grace, sockets + FLUSH_PATIENCE_S)
        in_flight = DrainingWorker.CONFIG_KWARGS["timeout_graceful_shutdown"]
        assert drains + ACCEPTED_S + in_flight + DRAIN_TIMEOUT_S + FLUSH_S < gunicorn.graceful_timeout, workload.name


@pytest.mark.parametrize("name", ["kind", "prod"])
def test_a_worker_has_time_to_finish_its_jobs(rendered: Render, name: str) -> None:
    overlay = rendered(name)
    for workload in processes(overlay, "worker"):
        jobs = told(overlay, workload, "SHUTDOWN_SECONDS", WorkerSettings.model_fields["shutdown_seconds"].default)
        needed = jobs + RELEASE_S + CLOSE_TIMEOUT_S + DRAIN_TIMEOUT_S + FLUSH_S + MARGIN_S
        assert workload.pod["terminationGracePeriodSeconds"] >= needed


def test_every_mode_waits_as_long(root: Path, rendered: Render) -> None:
    granted = {each.pod["terminationGracePeriodSeconds"] for each in processes(rendered("prod"), "service")}
    ours = [service for service in services(root) if "build" in service.definition]
    assert {service.definition["stop_grace_period"] for service in ours} == {f"{seconds}s" for seconds in granted}
    assert granted == {embedded.GRACE_SECONDS}


def test_endpoints_forget_a_pod_before_it_drains(rendered: Render) -> None:
    for workload in processes(rendered("prod"), "service"):
        assert workload.pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5
