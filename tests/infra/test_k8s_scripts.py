"""The scripts around kubectl, run against stand-ins on PATH that note what they are asked to do."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("k8s")

DIGESTS = [f"{name}=sha256:{'5' * 64}" for name in ("gateway", "users", "orders", "notifications", "workers")]

KUBECTL = """\
printf 'kubectl %s\\n' "$*" >> "$LOG"
case "$*" in
  *"get jobs"*) head -n 1 "$JOBS" | tr ';' '\\n'; [ "$(wc -l < "$JOBS")" -eq 1 ] || sed -i 1d "$JOBS" ;;
  kustomize*) cat "$RENDERED" ;;
  *"get deployments,statefulsets"*component=store*) echo deployment.apps/redis ;;
  *"get deployments,statefulsets"*) echo deployment.apps/hopline-users; echo deployment.apps/hopline-workers ;;
esac
case "$*" in *"$FAILS"*) exit 1 ;; esac
"""


class Desk:
    """A copy of `infra/k8s` in a checkout of its own, with stand-ins for the programs."""

    def __init__(self, home: Path, original: Path) -> None:
        self.k8s = home / "infra/k8s"
        shutil.copytree(original, self.k8s)
        self.log = home / "log"
        self.rendered = home / "rendered.yaml"
        self.rendered.write_text("kind: Deployment\n")
        self.jobs = home / "jobs"
        self.jobs.write_text("hopline-migrate-orders Complete;hopline-migrate-users Complete\n")
        self._programs = home / "programs"
        self._programs.mkdir()
        self.stand_in("kubectl", KUBECTL)
        self.stand_in("sleep", 'echo "sleep $*" >> "$LOG"\n')

    def stand_in(self, name: str, script: str) -> None:
        program = self._programs / name
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(0o755)

    def run(
        self, script: str, *arguments: str, fails: str = "never", more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "LOG": str(self.log),
            "RENDERED": str(self.rendered),
            "JOBS": str(self.jobs),
            "FAILS": fails,
            **(more or {}),
        }
        command = ["bash", str(self.k8s / script), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def desk(tmp_path: Path, root: Path) -> Desk:
    return Desk(tmp_path, root / "infra/k8s")


def first(lines: list[str], *words: str) -> int:
    return next(number for number, line in enumerate(lines) if all(word in line for word in words))


class TestDeploy:
    def test_it_goes_from_the_ground_over_the_migrations_to_the_processes(self, desk: Desk) -> None:
        done = desk.run("deploy.sh", "overlays/prod", "--context", "there")
        assert done.returncode == 0, done.stderr
        asked = desk.asked()
        steps = [
            first(asked, "apply", "notin (service, worker, migration)"),
            first(asked, "rollout status deployment.apps/redis"),
            first(asked, "delete jobs", "component=migration"),
            first(asked, "apply", "component=migration"),
            first(asked, "get jobs", "component=migration"),
            len(asked) - 1 - first(asked[::-1], "apply"),
            first(asked, "rollout status deployment.apps/hopline-users"),
            first(asked, "rollout status deployment.apps/hopline-workers"),
        ]
        assert steps == sorted(steps)
        assert all("--context there" in line for line in asked if not line.startswith("kubectl kustomize"))

    def test_it_waits_until_every_migration_is_complete(self, desk: Desk) -> None:
        """A Job without a condition runs; SuccessCriteriaMet comes before Complete."""
        desk.jobs.write_text(
            "hopline-migrate-orders;hopline-migrate-users\n"
            "hopline-migrate-orders Complete;hopline-migrate-users SuccessCriteriaMet\n"
            "hopline-migrate-orders SuccessCriteriaMet Complete;hopline-migrate-users SuccessCriteriaMet Complete\n"
        )
        assert desk.run("deploy.sh", "overlays/prod").returncode == 0
        assert desk.asked().count("sleep 2") == 2

    @pytest.mark.parametrize("condition", ["Failed", "FailureTarget", "FailureTarget Failed"])
    def test_a_failed_migration_stops_it_at_once_and_shows_its_log(self, desk: Desk, condition: str) -> None:
        desk.jobs.write_text(f"hopline-migrate-orders;hopline-migrate-users {condition}\n")
        done = desk.run("deploy.sh", "overlays/prod")
        assert done.returncode == 1
        assert "migration hopline-migrate-users has failed" in done.stderr
        asked = desk.asked()
        assert "sleep 2" not in asked
        assert "logs --selector batch.kubernetes.io/job-name=hopline-migrate-users" in asked[-1]
        assert all("--selector" in line for line in asked if "apply" in line)

    def test_migrations_that_cannot_be_asked_for_stop_it(self, desk: Desk) -> None:
        assert desk.run("deploy.sh", "overlays/prod", fails="get jobs").returncode == 1
        assert all("--selector" in line for line in desk.asked() if "apply" in line)

    def test_a_process_that_does_not_come_up_fails_it(self, desk: Desk) -> None:
        assert (
            desk.run("deploy.sh", "overlays/prod", fails="rollout status deployment.apps/hopline-users").returncode == 1
        )

    def test_a_cluster_that_does_not_answer_fails_it(self, desk: Desk) -> None:
        assert desk.run("deploy.sh", "overlays/prod", fails="get deployments").returncode == 1

    def test_images_that_were_never_released_are_refused(self, desk: Desk) -> None:
        desk.rendered.write_text(f"        image: registry.example/hopline/users@sha256:{'0' * 64}\n")
        done = desk.run("deploy.sh", "overlays/prod")
        assert done.returncode == 1
        assert "run pin-images.sh" in done.stderr
        assert len(desk.asked()) == 1


class TestPinImages:
    def test_it_writes_what_the_production_overlay_includes(self, desk: Desk) -> None:
        assert desk.run("pin-images.sh", "registry.example/shop", *DIGESTS).returncode == 0
        written = (desk.k8s / "overlays/prod/images/kustomization.yaml").read_text()
        assert "newName: registry.example/shop/workers\n    digest: sha256:5555" in written

    def test_what_is_in_the_repository_was_written_by_it(self, desk: Desk, root: Path) -> None:
        path = "overlays/prod/images/kustomization.yaml"
        committed = (root / "infra/k8s" / path).read_text()
        repository = committed.split("newName: ")[1].split("/gateway")[0]
        digests = [line.split()[-1] for line in committed.splitlines() if "digest:" in line]
        names = ("gateway", "users", "orders", "notifications", "workers")
        desk.run(
            "pin-images.sh", repository, *(f"{name}={digest}" for name, digest in zip(names, digests, strict=True))
        )
        assert (desk.k8s / path).read_text() == committed

    @pytest.mark.parametrize("arguments", [[], ["r"], ["r", *DIGESTS[:4]], ["r", *DIGESTS[:4], "workers=latest"]])
    def test_what_is_missing_or_no_digest_is_refused(self, desk: Desk, arguments: list[str]) -> None:
        before = (desk.k8s / "overlays/prod/images/kustomization.yaml").read_text()
        assert desk.run("pin-images.sh", *arguments).returncode != 0
        assert (desk.k8s / "overlays/prod/images/kustomization.yaml").read_text() == before


class TestDevelopmentPostgres:
    """`start.sh`, with a stand-in for the image's entrypoint that initialises, or is cut short in the middle."""

    @pytest.fixture
    def volume(self, desk: Desk, tmp_path: Path) -> Path:
        volume = tmp_path / "volume"
        volume.mkdir()
        stores = desk.k8s / "components/development-stores/stores"
        desk.stand_in("psql", "cat > /dev/null\n")
        desk.stand_in(
            "docker-entrypoint.sh",
            'echo "entrypoint $*" >> "$LOG"\n[ -e "$PGDATA/PG_VERSION" ] && exit 0\n'
            'mkdir -p "$PGDATA" && touch "$PGDATA/PG_VERSION" && echo new >> "$LOG"\n'
            f'[ -e "$HOPLINE_VOLUME/cut-short" ] && exit 137\nset -e\n. {stores}/create-databases.sh\n',
        )
        return volume

    def start(self, desk: Desk, volume: Path) -> int:
        script = "components/development-stores/stores/start.sh"
        more = {"HOPLINE_VOLUME": str(volume), "PGDATA": str(volume / "18/docker")}
        return desk.run(script, "-c", "max_connections=200", more=more).returncode

    def test_a_whole_data_directory_is_kept(self, desk: Desk, volume: Path) -> None:
        assert [self.start(desk, volume) for _ in range(2)] == [0, 0]
        started = "entrypoint postgres -c max_connections=200"
        assert desk.asked() == [started, "new", started]

    def test_one_that_was_cut_short_is_made_anew(self, desk: Desk, volume: Path) -> None:
        (volume / "cut-short").touch()
        assert [self.start(desk, volume) for _ in range(2)] == [137, 137]
        (volume / "cut-short").unlink()
        assert self.start(desk, volume) == 0
        assert desk.asked().count("new") == 3
        assert not (volume / "initialising").exists()

    def test_one_from_before_is_kept(self, desk: Desk, volume: Path) -> None:
        (volume / "18/docker").mkdir(parents=True)
        (volume / "18/docker/PG_VERSION").touch()
        assert self.start(desk, volume) == 0
        assert "new" not in desk.asked()


class TestKind:
    @pytest.fixture(autouse=True)
    def stand_ins(self, desk: Desk) -> None:
        for name in ("docker", "make"):
            desk.stand_in(name, f'echo "{name} $*" >> "$LOG"\n')
        desk.stand_in("kind", 'echo "kind $*" >> "$LOG"\ncase "$*" in "get clusters") ;; esac\n')

    def test_up_builds_loads_deploys_and_runs_the_demo(self, desk: Desk) -> None:
        done = desk.run("kind-up.sh")
        assert done.returncode == 0, done.stderr
        asked = desk.asked()
        steps = [
            first(asked, "kind create cluster --config kind.yaml"),
            first(asked, "make", "images"),
            first(asked, "kind load docker-image", *(f"hopline/{pair.split('=')[0]}:dev" for pair in DIGESTS)),
            first(asked, "apply", "--context kind-hopline"),
            first(asked, "make", "demo"),
        ]
        assert steps == sorted(steps)
        assert not any("rollout restart" in line for line in asked)

    def test_up_again_brings_the_new_images_into_the_running_cluster(self, desk: Desk) -> None:
        desk.stand_in("kind", 'echo "kind $*" >> "$LOG"\ncase "$*" in "get clusters") echo hopline ;; esac\n')
        assert desk.run("kind-up.sh").returncode == 0
        asked = desk.asked()
        assert not any("create cluster" in line for line in asked)
        assert first(asked, "rollout restart") < first(asked, "make", "demo")

    def test_up_deploys_the_overlay_that_is_named(self, desk: Desk) -> None:
        done = desk.run("kind-up.sh", more={"OVERLAY": "kind-telemetry"})
        assert done.returncode == 0, done.stderr
        assert "kubectl kustomize overlays/kind-telemetry" in desk.asked()
        assert "Grafana  http://localhost:3000" in done.stdout

    def test_up_says_what_is_missing(self, desk: Desk) -> None:
        desk.stand_in("docker", "exit 1\n")
        done = desk.run("kind-up.sh")
        assert done.returncode == 1
        assert done.stderr == "kind-up needs a Docker engine that answers: start it\n"

    def test_down_deletes_the_cluster(self, desk: Desk) -> None:
        assert desk.run("kind-down.sh").returncode == 0
        assert "kind delete cluster --name hopline" in desk.asked()
