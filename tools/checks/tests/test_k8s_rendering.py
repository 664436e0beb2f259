"""Overlays with components, rendered."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from checks.kubernetes.manifests import Rendering
from checks.kubernetes.rendering import CannotRenderError, check_rendered, combinations_of, render
from checks.kubernetes.settings import environment
from shared.commands import await_migration

pytestmark = pytest.mark.xdist_group("k8s")

Render = Callable[..., Rendering]


class TestCombinations:
    def test_each_overlay_is_combined_with_every_set_of_other_components(self, root: Path) -> None:
        found = list(combinations_of(root / "infra/k8s"))
        assert Counter(overlay for overlay, _ in found) == {"kind": 16, "kind-telemetry": 1, "prod": 8}
        assert ("kind", ()) in found
        assert ("kind", ("gateway-api", "ingress", "keda")) in found
        assert ("prod", ("keda", "pgbouncer")) in found
        assert ("kind-telemetry", ()) in found

    def test_production_has_no_component_of_development(self, root: Path) -> None:
        found = combinations_of(root / "infra/k8s")
        assert not [chosen for _, chosen in found if any(name.startswith("development-") for name in chosen)]


class TestRendering:
    def test_manifest_has_its_file(self, rendered: Render) -> None:
        deployment = rendered("kind").get("Deployment", "hopline-orders")
        assert deployment.place == "infra/k8s/base/templates/process/deployment.yaml (Deployment hopline-orders)"
        assert "annotations" not in deployment.body["metadata"]

    def test_one_change_to_the_template_reaches_all_processes(self, rendered: Render) -> None:
        processes = [
            workload.name
            for workload in rendered("prod").workloads
            if workload.pod.get("terminationGracePeriodSeconds") == 45
        ]
        expected = ("gateway", "notifications", "orders", "report-workers", "users", "workers")
        assert processes == [f"hopline-{name}" for name in expected]

    def test_repository_is_not_modified(self, root: Path, k8s_folder: Path) -> None:
        assert not k8s_folder.is_relative_to(root)


class TestMigration:
    """`kubectl apply -k` creates a process at the same time as its migration."""

    @pytest.mark.parametrize("name", ["kind", "prod"])
    def test_every_process_with_a_database_waits_for_it(self, rendered: Render, name: str) -> None:
        overlay = rendered(name)
        waiting = set()
        for workload in overlay.workloads:
            (process, *_) = workload.pod["containers"]
            if workload.manifest.kind != "Deployment" or "DATABASE_URL" not in environment(overlay, workload, process):
                continue
            (first,) = workload.pod["initContainers"]
            assert first["command"] == ["python", "-m", await_migration.__name__]
            assert first["image"] == process["image"]
            assert environment(overlay, workload, first)["DATABASE_URL_FILE"]
            waiting.add(workload.name)
        assert waiting == {
            f"hopline-{component}" for component in ("users", "orders", "notifications", "workers", "report-workers")
        }

    def test_wait_is_as_long_as_the_timeout_of_the_migration(self, rendered: Render) -> None:
        deadlines = {job.spec["activeDeadlineSeconds"] for job in rendered("prod").of("Job")}
        assert deadlines == {await_migration.TIMEOUT_S}


class TestRejection:
    def test_error_has_the_message_of_kustomize(self, k8s_folder: Path) -> None:
        overlay = k8s_folder / "overlays/broken"
        overlay.mkdir()
        (overlay / "kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
        with pytest.raises(CannotRenderError, match=r"nowhere\.yaml"):
            render(k8s_folder, "broken")

    def test_check_reports_the_error(self, tmp_path: Path) -> None:
        folder = tmp_path / "infra/k8s"
        (folder / "overlays/prod").mkdir(parents=True)
        (folder / "overlays/prod/kustomization.yaml").write_text("resources: [nowhere.yaml]\n")
        (finding,) = check_rendered(tmp_path)
        assert finding.place == "infra/k8s/overlays/prod"
        assert "nowhere.yaml" in finding.wrong
