"""The security rules for pods."""

from collections.abc import Callable

import pytest

from checks.kubernetes.hardening import check_hardening
from checks.kubernetes.manifests import Object, Rendering

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]

Mutation = Callable[[Object], object]
"""A change of a pod's `spec`."""


def container(pod: Object) -> Object:
    first: Object = pod["containers"][0]
    return first


def variable(pod: Object, name: str) -> Object:
    found: Object = next(variable for variable in container(pod)["env"] if variable["name"] == name)
    return found


POD_MISTAKES: list[tuple[str, Mutation]] = [
    ("runs as root", lambda pod: pod["securityContext"].update(runAsUser=0)),
    ("runs as root", lambda pod: pod["securityContext"].pop("runAsNonRoot")),
    ("has no seccomp profile", lambda pod: pod["securityContext"].pop("seccompProfile")),
    ("has a token", lambda pod: pod.pop("automountServiceAccountToken")),
    ("has variables for every Service", lambda pod: pod.pop("enableServiceLinks")),
    ("uses a namespace of the host", lambda pod: pod.update(hostNetwork=True)),
    ("uses a namespace of the host", lambda pod: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}})),
    ("may gain privileges", lambda pod: container(pod)["securityContext"].pop("allowPrivilegeEscalation")),
    ("may gain privileges", lambda pod: container(pod)["securityContext"].update(privileged=True)),
    ("keeps capabilities", lambda pod: container(pod)["securityContext"]["capabilities"].update(add=["NET_ADMIN"])),
    ("may write", lambda pod: container(pod)["securityContext"].update(readOnlyRootFilesystem=False)),
    ("has no limits.memory", lambda pod: container(pod)["resources"]["limits"].pop("memory")),
    ("has no requests.cpu", lambda pod: container(pod)["resources"].pop("requests")),
    ("startupProbe uses None", lambda pod: container(pod).pop("startupProbe")),
    (
        "livenessProbe uses /health/ready",
        lambda pod: container(pod)["livenessProbe"]["httpGet"].update(path="/health/ready"),
    ),
    ("do not name the node", lambda pod: container(pod)["env"].remove(variable(pod, "OTEL_RESOURCE_ATTRIBUTES"))),
    ("do not name the node", lambda pod: container(pod)["env"].remove(variable(pod, "NODE_NAME"))),
    ("all be on one node", lambda pod: pod.pop("topologySpreadConstraints")),
    ("may write", lambda pod: pod.update(initContainers=[{"name": "first", "image": "x:1"}])),
]


@pytest.mark.parametrize(("expected", "mutate"), POD_MISTAKES)
def test_mistake_in_a_pod_is_found(rendered: Render, expected: str, mutate: Mutation) -> None:
    overlay = rendered("kind")
    assert not list(check_hardening(overlay))
    mutate(overlay.get("Deployment", "hopline-users").spec["template"]["spec"])
    assert any(expected in finding.wrong for finding in check_hardening(overlay))


def drop_the_budget(overlay: Rendering) -> None:
    overlay.manifests.remove(overlay.get("PodDisruptionBudget", "hopline-workers"))


def admit_anything(overlay: Rendering) -> None:
    overlay.get("Namespace", "hopline").body["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "baseline"


def roll_out_carelessly(overlay: Rendering) -> None:
    overlay.get("Deployment", "hopline-users").spec["strategy"]["rollingUpdate"]["maxUnavailable"] = 1


def trust_a_worker_immediately(overlay: Rendering) -> None:
    del overlay.get("Deployment", "hopline-workers").spec["minReadySeconds"]


def do_not_probe_a_store(overlay: Rendering) -> None:
    del overlay.get("Deployment", "redis").spec["template"]["spec"]["containers"][0]["readinessProbe"]


def omit_a_label(overlay: Rendering) -> None:
    del overlay.get("StatefulSet", "postgres").spec["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"]


def run_several_in_a_pod(overlay: Rendering) -> None:
    (common,) = [config_map for config_map in overlay.of("ConfigMap") if config_map.name.startswith("hopline-common")]
    common.body["data"]["WEB_CONCURRENCY"] = "4"


@pytest.mark.parametrize(
    ("mutate", "expected"),
    [
        (drop_the_budget, "no PodDisruptionBudget covers it"),
        (admit_anything, "accepts pods that are not restricted"),
        (roll_out_carelessly, "removes pods before new ones are ready"),
        (trust_a_worker_immediately, "considers its pods ready as soon as they run"),
        (do_not_probe_a_store, "has no readinessProbe"),
        (omit_a_label, "have no label app.kubernetes.io/part-of"),
        (run_several_in_a_pod, "WEB_CONCURRENCY=4"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_mistake_outside_pods_is_found(rendered: Render, mutate: Callable[[Rendering], None], expected: str) -> None:
    overlay = rendered("kind")
    mutate(overlay)
    assert any(expected in finding.wrong for finding in check_hardening(overlay))


def test_production_has_no_findings(rendered: Render) -> None:
    assert not list(check_hardening(rendered("prod")))
