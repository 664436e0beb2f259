"""`kind-up.sh` and `kind-down.sh`, with fakes of docker, kind, kubectl and make."""

import pytest
from tests.infra.script_runner import IMAGES, ScriptRunner, find_first

pytestmark = pytest.mark.xdist_group("k8s")


class TestKind:
    @pytest.fixture(autouse=True)
    def add_programs(self, runner: ScriptRunner) -> None:
        """Add the fake programs. The fake kind has no cluster."""
        for name in ("docker", "make"):
            runner.add_program(name, f'echo "{name} $*" >> "$LOG"\n')
        runner.add_program("kind", 'echo "kind $*" >> "$LOG"\ncase "$*" in "get clusters") ;; esac\n')

    def test_up_builds_loads_deploys_and_runs_the_demo(self, runner: ScriptRunner) -> None:
        done = runner.run("kind-up.sh")
        assert done.returncode == 0, done.stderr
        calls = runner.calls()
        steps = [
            find_first(calls, "kind create cluster --config kind.yaml"),
            find_first(calls, "make", "images"),
            find_first(calls, "kind load docker-image", *(f"hopline/{name}:dev" for name in IMAGES)),
            find_first(calls, "apply", "--context kind-hopline"),
            find_first(calls, "make", "demo"),
        ]
        assert steps == sorted(steps)
        assert not any("rollout restart" in line for line in calls)

    def test_up_restarts_the_processes_with_new_images_when_the_cluster_exists(self, runner: ScriptRunner) -> None:
        runner.add_program("kind", 'echo "kind $*" >> "$LOG"\ncase "$*" in "get clusters") echo hopline ;; esac\n')
        assert runner.run("kind-up.sh").returncode == 0
        calls = runner.calls()
        assert not any("create cluster" in line for line in calls)
        assert find_first(calls, "rollout restart") < find_first(calls, "make", "demo")

    def test_up_deploys_the_overlay_that_the_variable_names(self, runner: ScriptRunner) -> None:
        done = runner.run("kind-up.sh", environment={"OVERLAY": "kind-telemetry"})
        assert done.returncode == 0, done.stderr
        assert "kubectl kustomize overlays/kind-telemetry" in runner.calls()
        assert "Grafana  http://localhost:3000" in done.stdout

    def test_up_fails_when_docker_is_not_available(self, runner: ScriptRunner) -> None:
        runner.add_program("docker", "exit 1\n")
        done = runner.run("kind-up.sh")
        assert done.returncode == 1
        assert done.stderr == "kind-up needs a running Docker engine: start it\n"

    def test_down_deletes_the_cluster(self, runner: ScriptRunner) -> None:
        assert runner.run("kind-down.sh").returncode == 0
        assert "kind delete cluster --name hopline" in runner.calls()
