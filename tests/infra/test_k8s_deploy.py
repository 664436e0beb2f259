"""`deploy.sh` and `pin-images.sh`, with a fake kubectl."""

from pathlib import Path

import pytest
from tests.infra.script_runner import IMAGES, KUBECTL, ScriptRunner, find_first, find_last

from shared.validation.text import terminal_text

pytestmark = pytest.mark.xdist_group("k8s")

DIGESTS = [f"{name}=sha256:{'5' * 64}" for name in IMAGES]
IMAGES_FILE = "overlays/prod/images/kustomization.yaml"


class TestDeploy:
    def test_stores_and_telemetry_are_ready_before_migrations_and_migrations_before_processes(
        self, runner: ScriptRunner
    ) -> None:
        done = runner.run("deploy.sh", "overlays/prod", "--context", "there")
        assert done.returncode == 0, done.stderr
        calls = runner.calls()
        steps = [
            find_first(calls, "apply", "notin (service, worker, migration)"),
            find_first(calls, "rollout status deployment.apps/collector"),
            find_first(calls, "rollout status deployment.apps/redis"),
            find_first(calls, "delete jobs", "component=migration"),
            find_first(calls, "apply", "component=migration"),
            find_first(calls, "get jobs", "component=migration"),
            find_last(calls, "apply"),
            find_first(calls, "rollout status deployment.apps/hopline-users"),
            find_first(calls, "rollout status deployment.apps/hopline-workers"),
        ]
        assert steps == sorted(steps)
        assert all("--context there" in line for line in calls if not line.startswith("kubectl kustomize"))

    def test_script_waits_until_every_migration_is_complete(self, runner: ScriptRunner) -> None:
        """A running Job has no condition. Its condition SuccessCriteriaMet precedes the condition Complete."""
        runner.jobs.write_text(
            "hopline-migrate-orders;hopline-migrate-users\n"
            "hopline-migrate-orders Complete;hopline-migrate-users SuccessCriteriaMet\n"
            "hopline-migrate-orders SuccessCriteriaMet Complete;hopline-migrate-users SuccessCriteriaMet Complete\n"
        )
        assert runner.run("deploy.sh", "overlays/prod").returncode == 0
        assert runner.calls().count("sleep 2") == 2

    @pytest.mark.parametrize("condition", ["Failed", "FailureTarget", "FailureTarget Failed"])
    def test_script_fails_after_reading_the_log_when_a_migration_fails(
        self, runner: ScriptRunner, condition: str
    ) -> None:
        runner.jobs.write_text(f"hopline-migrate-orders;hopline-migrate-users {condition}\n")
        done = runner.run("deploy.sh", "overlays/prod")
        assert done.returncode == 1
        assert "migration hopline-migrate-users has failed" in done.stderr
        calls = runner.calls()
        assert "sleep 2" not in calls
        assert "logs --selector batch.kubernetes.io/job-name=hopline-migrate-users" in calls[-1]
        assert all("--selector" in line for line in calls if "apply" in line)

    @pytest.mark.parametrize("command", ["logs", "get pods"])
    def test_control_characters_are_escaped_when_a_migration_fails(self, runner: ScriptRunner, command: str) -> None:
        """The script escapes the same characters as `terminal_text`, and removes NUL."""
        surrogates = range(0xD800, 0xE000)
        text = "".join(chr(code) for code in range(1, 0x10000) if code not in surrogates)
        printed = runner.home / "printed"
        printed.write_bytes(f"[pod] {text}\x00 the end\n".encode())
        runner.add_program("kubectl", f'case "$*" in *"{command} --selector"*) cat "{printed}" ;; esac\n{KUBECTL}')
        runner.jobs.write_text("hopline-migrate-users Failed\n")
        done = runner.run("deploy.sh", "overlays/prod")
        assert f"[pod] {terminal_text(text)} the end\n" in done.stderr

    def test_script_fails_when_the_migrations_cannot_be_read(self, runner: ScriptRunner) -> None:
        assert runner.run("deploy.sh", "overlays/prod", fails="get jobs").returncode == 1
        assert all("--selector" in line for line in runner.calls() if "apply" in line)

    def test_script_fails_when_a_process_does_not_start(self, runner: ScriptRunner) -> None:
        done = runner.run("deploy.sh", "overlays/prod", fails="rollout status deployment.apps/hopline-users")
        assert done.returncode == 1

    def test_script_fails_when_the_cluster_is_unreachable(self, runner: ScriptRunner) -> None:
        assert runner.run("deploy.sh", "overlays/prod", fails="get deployments").returncode == 1

    def test_script_fails_before_any_change_when_an_image_has_the_placeholder_digest(
        self, runner: ScriptRunner
    ) -> None:
        runner.rendered.write_text(f"        image: registry.example/hopline/users@sha256:{'0' * 64}\n")
        done = runner.run("deploy.sh", "overlays/prod")
        assert done.returncode == 1
        assert "run pin-images.sh" in done.stderr
        assert runner.calls() == ["kubectl kustomize overlays/prod"]


class TestPinImages:
    def test_script_writes_the_image_digests_of_the_production_overlay(self, runner: ScriptRunner) -> None:
        assert runner.run("pin-images.sh", "registry.example/shop", *DIGESTS).returncode == 0
        written = (runner.k8s / IMAGES_FILE).read_text()
        assert "newName: registry.example/shop/workers\n    digest: sha256:5555" in written

    def test_script_writes_the_committed_file_when_it_gets_the_committed_digests(
        self, runner: ScriptRunner, root: Path
    ) -> None:
        committed = (root / "infra/k8s" / IMAGES_FILE).read_text()
        registry = committed.split("newName: ")[1].split("/gateway")[0]
        digests = [line.split()[-1] for line in committed.splitlines() if "digest:" in line]
        pairs = [f"{name}={digest}" for name, digest in zip(IMAGES, digests, strict=True)]
        (runner.k8s / IMAGES_FILE).write_text("")
        runner.run("pin-images.sh", registry, *pairs)
        assert (runner.k8s / IMAGES_FILE).read_text() == committed

    @pytest.mark.parametrize("arguments", [[], ["r"], ["r", *DIGESTS[:4]], ["r", *DIGESTS[:4], "workers=latest"]])
    def test_script_fails_without_a_change_when_an_argument_is_missing_or_not_a_digest(
        self, runner: ScriptRunner, arguments: list[str]
    ) -> None:
        before = (runner.k8s / IMAGES_FILE).read_text()
        assert runner.run("pin-images.sh", *arguments).returncode != 0
        assert (runner.k8s / IMAGES_FILE).read_text() == before
