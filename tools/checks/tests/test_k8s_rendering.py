"""Rendering of overlays with components."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from checks.kubernetes.manifests import Rendering
from checks.kubernetes.rendering import (
    FOLDER,
    KUBECTL,
    CannotRenderError,
    check_rendered,
    combinations_of,
    render,
    renderings,
)
from checks.kubernetes.settings import environment
from checks.programs import Program
from embedded.processes import GRACE_SECONDS
from shared.commands import await_migration
from testkit.checkout import Checkout

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


class TestCombinations:
    def test_each_overlay_is_combined_with_every_set_of_other_components(self, root: Path) -> None:
        found = list(combinations_of(root / "infra/k8s"))
        subsets_of_four, subsets_of_three = 2**4, 2**3
        assert Counter(overlay for overlay, _ in found) == {
            "kind": subsets_of_four,
            "kind-telemetry": 1,
            "prod": subsets_of_three,
        }
        assert ("kind", ()) in found
        assert ("kind", ("gateway-api", "ingress", "keda")) in found
        assert ("prod", ("keda", "pgbouncer")) in found
        assert ("kind-telemetry", ()) in found

    def test_components_of_development_are_not_combined(self, root: Path) -> None:
        found = combinations_of(root / "infra/k8s")
        assert not [chosen for _, chosen in found if any(name.startswith("development-") for name in chosen)]


class TestRendering:
    def test_manifest_contains_the_file_that_defines_it(self, rendered: Render) -> None:
        deployment = rendered("kind").get("Deployment", "hopline-orders")
        assert deployment.place == "infra/k8s/base/templates/process/deployment.yaml (Deployment hopline-orders)"
        assert "annotations" not in deployment.body["metadata"]

    def test_grace_period_of_the_template_applies_to_every_process(self, rendered: Render) -> None:
        processes = {
            workload.name
            for workload in rendered("prod").workloads
            if workload.pod.get("terminationGracePeriodSeconds") == GRACE_SECONDS
        }
        expected = ("gateway", "notifications", "orders", "report-workers", "users", "workers")
        assert processes == {f"hopline-{name}" for name in expected}


class TestMigration:
    """`kubectl apply -k` creates a process at the same time as the migration of its database."""

    @pytest.mark.parametrize("overlay_name", ["kind", "prod"])
    def test_process_waits_for_the_migration_when_it_has_a_database(self, rendered: Render, overlay_name: str) -> None:
        overlay = rendered(overlay_name)
        waiting = set()
        for workload in overlay.workloads:
            process = workload.pod["containers"][0]
            if workload.manifest.kind != "Deployment" or "DATABASE_URL" not in environment(overlay, workload, process):
                continue
            (wait,) = workload.pod["initContainers"]
            assert wait["command"] == ["python", "-m", await_migration.__name__]
            assert wait["image"] == process["image"]
            assert environment(overlay, workload, wait)["DATABASE_URL_FILE"]
            waiting.add(workload.name)
        assert waiting == {
            f"hopline-{component}" for component in ("users", "orders", "notifications", "workers", "report-workers")
        }

    def test_wait_is_as_long_as_the_timeout_of_the_migration(self, rendered: Render) -> None:
        deadlines = {job.spec["activeDeadlineSeconds"] for job in rendered("prod").of("Job")}
        assert deadlines == {await_migration.TIMEOUT_S}


class TestRejection:
    @pytest.fixture
    def rejected(self, tmp_path: Path, require: Callable[[Program], None]) -> Checkout:
        """A repository whose only overlay refers to a file that does not exist."""
        require(KUBECTL)
        checkout = Checkout(tmp_path)
        checkout.write("infra/k8s/overlays/prod/kustomization.yaml", "resources: [nowhere.yaml]\n")
        return checkout

    def test_error_has_the_message_of_kustomize(self, rejected: Checkout) -> None:
        with pytest.raises(CannotRenderError, match=r"nowhere\.yaml"):
            render(rejected.root / FOLDER, "prod")

    def test_check_reports_the_error_and_leaves_the_repository_unchanged(self, rejected: Checkout) -> None:
        before = sorted(rejected.root.rglob("*"))
        (finding,) = check_rendered(rejected.root)
        assert finding.place == "infra/k8s/overlays/prod"
        assert "nowhere.yaml" in finding.problem
        assert sorted(rejected.root.rglob("*")) == before

    def test_overlays_are_rendered_once_when_two_validators_run_concurrently(self, rejected: Checkout) -> None:
        with ThreadPoolExecutor(2) as executor:
            first, second = executor.map(renderings, [rejected.root] * 2)
        assert first is second
