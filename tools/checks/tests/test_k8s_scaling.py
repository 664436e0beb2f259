"""The number of replicas has a minimum, a maximum, and one field or scaler that sets it."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest

from checks.kubernetes.manifests import Rendering
from checks.kubernetes.rendering import render
from checks.kubernetes.scaling import check_scaling
from workers.jobs.types import JOB_TYPES, JOBS_QUEUE, REPORTS_QUEUE, queue_of
from workers.settings import Settings

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


def scale_a_missing_deployment(overlay: Rendering) -> None:
    overlay.get("HorizontalPodAutoscaler", "hopline-users").spec["scaleTargetRef"]["name"] = "users"


def set_replicas_of_a_scaled_deployment(overlay: Rendering) -> None:
    overlay.get("Deployment", "hopline-workers").spec["replicas"] = 3


def scale_one_deployment_twice(overlay: Rendering) -> None:
    second = deepcopy(overlay.get("HorizontalPodAutoscaler", "hopline-users"))
    second.spec["scaleTargetRef"]["name"] = "hopline-workers"
    overlay.manifests.append(second)


def raise_the_minimum_above_the_maximum(overlay: Rendering) -> None:
    overlay.get("HorizontalPodAutoscaler", "hopline-users").spec["minReplicas"] = 9


def scale_to_zero(overlay: Rendering) -> None:
    overlay.get("ScaledObject", "hopline-workers").spec["minReplicaCount"] = 0


def omit_the_minimum(overlay: Rendering) -> None:
    del overlay.get("ScaledObject", "hopline-workers").spec["minReplicaCount"]


def run_one_service_replica(overlay: Rendering) -> None:
    overlay.get("HorizontalPodAutoscaler", "hopline-users").spec["minReplicas"] = 1


def run_one_worker_replica(overlay: Rendering) -> None:
    overlay.get("ScaledObject", "hopline-report-workers").spec["minReplicaCount"] = 1


@pytest.mark.parametrize(
    ("mutate", "expected"),
    [
        (run_one_service_replica, "it may run as 1 replica"),
        (run_one_worker_replica, "it may run as 1 replica"),
        (scale_a_missing_deployment, "scales users, which does not exist"),
        (set_replicas_of_a_scaled_deployment, "replicas is set, but ScaledObject hopline-workers owns it"),
        (scale_one_deployment_twice, "hopline-workers is also scaled by"),
        (raise_the_minimum_above_the_maximum, "scales from 9 to 2"),
        (scale_to_zero, "scales from 0 to 10"),
        (scale_to_zero, "it may run as 0 replicas"),
        (omit_the_minimum, "scales from 0 to 10"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_mistake_is_found(rendered: Render, mutate: Callable[[Rendering], None], expected: str) -> None:
    overlay = rendered("kind", "gateway-api", "ingress", "keda")
    assert not list(check_scaling(overlay))
    mutate(overlay)
    assert any(expected in finding.problem for finding in check_scaling(overlay))


@pytest.mark.parametrize("name", ["hopline-workers", "hopline-report-workers"])
def test_keda_replaces_the_fixed_number_of_replicas(rendered_once: Render, name: str) -> None:
    overlay = rendered_once("prod", "keda")
    assert "replicas" not in overlay.get("Deployment", name).spec
    assert overlay.get("ScaledObject", name).spec["minReplicaCount"] == 2


@pytest.mark.parametrize(
    ("name", "queue", "clause"),
    [("hopline-workers", JOBS_QUEUE, "kind <> '{}'"), ("hopline-report-workers", REPORTS_QUEUE, "kind = '{}'")],
)
def test_workers_scale_with_their_own_queue(rendered_once: Render, name: str, queue: str, clause: str) -> None:
    """Both queries name the only job type of the reports queue. Change both for another type or another queue."""
    [trigger] = rendered_once("prod", "keda").get("ScaledObject", name).spec["triggers"]
    [report_type] = [job_type for job_type in JOB_TYPES if queue_of(job_type) == REPORTS_QUEUE]
    assert trigger["metadata"]["query"].endswith(f"run_after <= now() AND {clause.format(report_type)}")
    assert {queue_of(job_type) for job_type in JOB_TYPES} == {JOBS_QUEUE, REPORTS_QUEUE}
    max_concurrent = Settings.model_fields["max_concurrent_reports" if queue == REPORTS_QUEUE else "max_jobs"].default
    two_rounds = 2 * max_concurrent
    assert trigger["metadata"]["targetQueryValue"] == str(two_rounds)


@pytest.mark.parametrize("overlay_name", ["kind", "prod"])
def test_minimum_is_two_replicas(rendered: Render, overlay_name: str) -> None:
    overlay = rendered(overlay_name)
    assert {autoscaler.spec["minReplicas"] for autoscaler in overlay.of("HorizontalPodAutoscaler")} == {2}
    assert overlay.get("Deployment", "hopline-workers").spec["replicas"] == 2
    assert not list(check_scaling(overlay))
    del overlay.get("Deployment", "hopline-workers").spec["replicas"]
    assert [finding.problem for finding in check_scaling(overlay)] == ["it may run as 1 replica"]


def test_replicas_in_an_overlay_are_found_when_keda_scales(k8s_folder: Path) -> None:
    """The overlay sets `replicas` after the components, so KEDA's patch does not remove it."""
    shutil.copytree(k8s_folder / "overlays/prod", k8s_folder / "overlays/with-replicas")
    file = k8s_folder / "overlays/with-replicas/kustomization.yaml"
    file.write_text(file.read_text() + "replicas: [{name: hopline-workers, count: 3}]\n")
    try:
        overlay = render(k8s_folder, "with-replicas", ["keda"])
    finally:
        shutil.rmtree(k8s_folder / "overlays/with-replicas")
    assert [finding.problem for finding in check_scaling(overlay)] == [
        "replicas is set, but ScaledObject hopline-workers owns it"
    ]
