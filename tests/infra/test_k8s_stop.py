"""The arithmetic of a graceful stop: what Kubernetes grants is more than what each process may take."""

from collections.abc import Callable, Iterator

import pytest

from checks.kubernetes.manifests import Rendering, Workload
from checks.kubernetes.settings import environment
from shared import gunicorn
from shared.settings import ServiceSettings
from shared.telemetry import EXPORT_TIMEOUT_S
from shared.worker import DrainingWorker
from workers.settings import Settings as WorkerSettings

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]

SIGNALS = 3
"""Traces, logs and metrics, flushed one after the other."""
MARGIN_S = 5


def processes(overlay: Rendering, component: str) -> Iterator[Workload]:
    found = [each for each in overlay.workloads if each.labels["app.kubernetes.io/component"] == component]
    assert found
    yield from found


def drain_seconds(overlay: Rendering, workload: Workload) -> float:
    told = environment(overlay, workload, workload.containers[0]).get("DRAIN_SECONDS")
    return float(told or ServiceSettings.model_fields["drain_seconds"].default)


@pytest.mark.parametrize("name", ["kind", "prod"])
def test_a_service_has_time_to_leave(rendered: Render, name: str) -> None:
    overlay = rendered(name)
    for workload in processes(overlay, "service"):
        pre_stop = workload.containers[0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = drain_seconds(overlay, workload)
        flush = SIGNALS * EXPORT_TIMEOUT_S
        needed = pre_stop + drain + gunicorn.graceful_timeout + flush + MARGIN_S
        assert workload.pod["terminationGracePeriodSeconds"] >= needed, workload.name


@pytest.mark.parametrize("name", ["kind", "prod"])
def test_requests_in_flight_end_before_gunicorn_loses_patience(rendered: Render, name: str) -> None:
    overlay = rendered(name)
    for workload in processes(overlay, "service"):
        in_flight = DrainingWorker.CONFIG_KWARGS["timeout_graceful_shutdown"]
        assert drain_seconds(overlay, workload) + in_flight < gunicorn.graceful_timeout, workload.name


@pytest.mark.parametrize("name", ["kind", "prod"])
def test_a_worker_has_time_to_finish_its_jobs(rendered: Render, name: str) -> None:
    overlay = rendered(name)
    for workload in processes(overlay, "worker"):
        told = environment(overlay, workload, workload.containers[0]).get("SHUTDOWN_SECONDS")
        jobs = float(told or WorkerSettings.model_fields["shutdown_seconds"].default)
        needed = jobs + SIGNALS * EXPORT_TIMEOUT_S + MARGIN_S
        assert workload.pod["terminationGracePeriodSeconds"] >= needed


def test_endpoints_forget_a_pod_before_it_drains(rendered: Render) -> None:
    for workload in processes(rendered("prod"), "service"):
        assert workload.containers[0]["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5
