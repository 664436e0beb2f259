"""The security rules for pods."""

from collections.abc import Callable

import pytest

from checks.containers.compose_files import mebibytes
from checks.kubernetes.hardening import check_hardening
from checks.kubernetes.manifests import Object, Rendering

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]

Mutation = Callable[[Object], object]
"""A change of a pod's `spec`."""


def first_container(pod: Object) -> Object:
    first: Object = pod["containers"][0]
    return first


def variable(pod: Object, name: str) -> Object:
    found: Object = next(variable for variable in first_container(pod)["env"] if variable["name"] == name)
    return found


POD_MISTAKES: list[tuple[str, Mutation]] = [
    ("runs as root", lambda pod: pod["securityContext"].update(runAsUser=0)),
    ("runs as root", lambda pod: pod["securityContext"].pop("runAsNonRoot")),
    ("has no seccomp profile", lambda pod: pod["securityContext"].pop("seccompProfile")),
    ("has a token", lambda pod: pod.pop("automountServiceAccountToken")),
    ("has variables for every Service", lambda pod: pod.pop("enableServiceLinks")),
    ("uses a namespace of the host", lambda pod: pod.update(hostNetwork=True)),
    ("uses a namespace of the host", lambda pod: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}})),
    ("may gain privileges", lambda pod: first_container(pod)["securityContext"].pop("allowPrivilegeEscalation")),
    ("may gain privileges", lambda pod: first_container(pod)["securityContext"].update(privileged=True)),
    (
        "keeps capabilities",
        lambda pod: first_container(pod)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    ),
    ("may write", lambda pod: first_container(pod)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("has no limits.memory", lambda pod: first_container(pod)["resources"]["limits"].pop("memory")),
    ("has no requests.cpu", lambda pod: first_container(pod)["resources"].pop("requests")),
    ("startupProbe uses None", lambda pod: first_container(pod).pop("startupProbe")),
    (
        "livenessProbe uses /health/ready",
        lambda pod: first_container(pod)["livenessProbe"]["httpGet"].update(path="/health/ready"),
    ),
    ("do not name the node", lambda pod: first_container(pod)["env"].remove(variable(pod, "OTEL_RESOURCE_ATTRIBUTES"))),
    ("do not name the node", lambda pod: first_container(pod)["env"].remove(variable(pod, "NODE_NAME"))),
    ("all be on one node", lambda pod: pod.pop("topologySpreadConstraints")),
    ("may write", lambda pod: pod.update(initContainers=[{"name": "first", "image": "x:1"}])),
]


@pytest.mark.parametrize(("expected", "mutate"), POD_MISTAKES)
def test_mistake_in_a_pod_is_found(rendered: Render, expected: str, mutate: Mutation) -> None:
    overlay = rendered("kind")
    assert not list(check_hardening(overlay))
    mutate(overlay.get("Deployment", "hopline-users").spec["template"]["spec"])
    assert any(expected in finding.problem for finding in check_hardening(overlay))


def omit_the_disruption_budget(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("PodDisruptionBudget", "hopline-workers"))


def weaken_the_pod_security_of_the_namespace(overlay: Rendering) -> None:
    overlay.get("Namespace", "hopline").body["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "baseline"


def remove_ready_pods_in_a_rollout(overlay: Rendering) -> None:
    overlay.get("Deployment", "hopline-users").spec["strategy"]["rollingUpdate"]["maxUnavailable"] = 1


def omit_min_ready_seconds_of_a_worker(overlay: Rendering) -> None:
    del overlay.get("Deployment", "hopline-workers").spec["minReadySeconds"]


def omit_the_readiness_probe_of_a_store(overlay: Rendering) -> None:
    del overlay.get("Deployment", "redis").spec["template"]["spec"]["containers"][0]["readinessProbe"]


def omit_a_label(overlay: Rendering) -> None:
    del overlay.get("StatefulSet", "postgres").spec["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"]


def run_several_processes_in_a_pod(overlay: Rendering) -> None:
    (common,) = [config_map for config_map in overlay.of("ConfigMap") if config_map.name.startswith("hopline-common")]
    common.body["data"]["WEB_CONCURRENCY"] = "4"


@pytest.mark.parametrize(
    ("mutate", "expected"),
    [
        (omit_the_disruption_budget, "no PodDisruptionBudget covers it"),
        (weaken_the_pod_security_of_the_namespace, "accepts pods that are not restricted"),
        (remove_ready_pods_in_a_rollout, "removes pods before new ones are ready"),
        (omit_min_ready_seconds_of_a_worker, "considers its pods ready as soon as they run"),
        (omit_the_readiness_probe_of_a_store, "has no readinessProbe"),
        (omit_a_label, "have no label app.kubernetes.io/part-of"),
        (run_several_processes_in_a_pod, "WEB_CONCURRENCY=4"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_mistake_outside_pods_is_found(rendered: Render, mutate: Callable[[Rendering], None], expected: str) -> None:
    overlay = rendered("kind")
    mutate(overlay)
    assert any(expected in finding.problem for finding in check_hardening(overlay))


def test_production_has_no_findings(rendered: Render) -> None:
    assert not list(check_hardening(rendered("prod")))


def test_redis_rejects_writes_before_its_container_reaches_the_memory_limit(rendered: Render) -> None:
    """The alert RedisMemoryRunsOut also needs a limit."""
    container = rendered("kind").get("Deployment", "redis").spec["template"]["spec"]["containers"][0]
    maximum = container["args"][container["args"].index("--maxmemory") + 1]
    assert 0 < mebibytes(maximum) < mebibytes(container["resources"]["limits"]["memory"])
