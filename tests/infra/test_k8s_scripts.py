"""The scripts around kubectl, run with fake programs on PATH that record their arguments."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from embedded import postgres
from shared.validation.text import terminal_text
from testkit.apps import free_port
from testkit.waiting import eventually

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


class ScriptRunner:
    """Runs the scripts of a copy of `infra/k8s` with fake programs."""

    def __init__(self, home: Path, original: Path) -> None:
        self.home = home
        self.k8s = home / "infra/k8s"
        shutil.copytree(original, self.k8s)
        self.log = home / "log"
        self.rendered = home / "rendered.yaml"
        self.rendered.write_text("kind: Deployment\n")
        self.jobs = home / "jobs"
        self.jobs.write_text("hopline-migrate-orders Complete;hopline-migrate-users Complete\n")
        self._programs = home / "programs"
        self._programs.mkdir()
        self.add_program("kubectl", KUBECTL)
        self.add_program("sleep", 'echo "sleep $*" >> "$LOG"\n')

    def add_program(self, name: str, script: str) -> None:
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
        done = subprocess.run(command, env=environment, capture_output=True, check=False)  # noqa: S603
        return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def runner(tmp_path: Path, root: Path) -> ScriptRunner:
    return ScriptRunner(tmp_path, root / "infra/k8s")


def find_first(lines: list[str], *words: str) -> int:
    return next(number for number, line in enumerate(lines) if all(word in line for word in words))


class TestDeploy:
    def test_stores_are_deployed_before_migrations_and_migrations_before_processes(self, runner: ScriptRunner) -> None:
        done = runner.run("deploy.sh", "overlays/prod", "--context", "there")
        assert done.returncode == 0, done.stderr
        calls = runner.calls()
        steps = [
            find_first(calls, "apply", "notin (service, worker, migration)"),
            find_first(calls, "rollout status deployment.apps/redis"),
            find_first(calls, "delete jobs", "component=migration"),
            find_first(calls, "apply", "component=migration"),
            find_first(calls, "get jobs", "component=migration"),
            len(calls) - 1 - find_first(calls[::-1], "apply"),
            find_first(calls, "rollout status deployment.apps/hopline-users"),
            find_first(calls, "rollout status deployment.apps/hopline-workers"),
        ]
        assert steps == sorted(steps)
        assert all("--context there" in line for line in calls if not line.startswith("kubectl kustomize"))

    def test_script_waits_until_every_migration_is_complete(self, runner: ScriptRunner) -> None:
        """A running Job has no condition. SuccessCriteriaMet precedes Complete."""
        runner.jobs.write_text(
            "hopline-migrate-orders;hopline-migrate-users\n"
            "hopline-migrate-orders Complete;hopline-migrate-users SuccessCriteriaMet\n"
            "hopline-migrate-orders SuccessCriteriaMet Complete;hopline-migrate-users SuccessCriteriaMet Complete\n"
        )
        assert runner.run("deploy.sh", "overlays/prod").returncode == 0
        assert runner.calls().count("sleep 2") == 2

    @pytest.mark.parametrize("condition", ["Failed", "FailureTarget", "FailureTarget Failed"])
    def test_script_fails_with_the_log_when_a_migration_fails(self, runner: ScriptRunner, condition: str) -> None:
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
        """All characters of the Basic Multilingual Plane that UTF-8 can encode, but NUL, which the script removes."""
        text = "".join(chr(code) for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000)
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
        assert (
            runner.run("deploy.sh", "overlays/prod", fails="rollout status deployment.apps/hopline-users").returncode
            == 1
        )

    def test_script_fails_when_the_cluster_is_unreachable(self, runner: ScriptRunner) -> None:
        assert runner.run("deploy.sh", "overlays/prod", fails="get deployments").returncode == 1

    def test_script_fails_when_images_have_no_digest_of_a_release(self, runner: ScriptRunner) -> None:
        runner.rendered.write_text(f"        image: registry.example/hopline/users@sha256:{'0' * 64}\n")
        done = runner.run("deploy.sh", "overlays/prod")
        assert done.returncode == 1
        assert "run pin-images.sh" in done.stderr
        assert len(runner.calls()) == 1


class TestPinImages:
    def test_script_writes_the_image_digests_of_the_production_overlay(self, runner: ScriptRunner) -> None:
        assert runner.run("pin-images.sh", "registry.example/shop", *DIGESTS).returncode == 0
        written = (runner.k8s / "overlays/prod/images/kustomization.yaml").read_text()
        assert "newName: registry.example/shop/workers\n    digest: sha256:5555" in written

    def test_committed_file_is_the_output_of_the_script(self, runner: ScriptRunner, root: Path) -> None:
        path = "overlays/prod/images/kustomization.yaml"
        committed = (root / "infra/k8s" / path).read_text()
        repository = committed.split("newName: ")[1].split("/gateway")[0]
        digests = [line.split()[-1] for line in committed.splitlines() if "digest:" in line]
        names = ("gateway", "users", "orders", "notifications", "workers")
        runner.run(
            "pin-images.sh", repository, *(f"{name}={digest}" for name, digest in zip(names, digests, strict=True))
        )
        assert (runner.k8s / path).read_text() == committed

    @pytest.mark.parametrize("arguments", [[], ["r"], ["r", *DIGESTS[:4]], ["r", *DIGESTS[:4], "workers=latest"]])
    def test_script_fails_when_an_argument_is_missing_or_not_a_digest(
        self, runner: ScriptRunner, arguments: list[str]
    ) -> None:
        before = (runner.k8s / "overlays/prod/images/kustomization.yaml").read_text()
        assert runner.run("pin-images.sh", *arguments).returncode != 0
        assert (runner.k8s / "overlays/prod/images/kustomization.yaml").read_text() == before


class TestDevelopmentPostgres:
    """`start.sh` with a fake of the image's entrypoint, which initialises the data directory or is interrupted."""

    @pytest.fixture
    def volume(self, runner: ScriptRunner, tmp_path: Path) -> Path:
        volume = tmp_path / "volume"
        volume.mkdir()
        stores = runner.k8s / "components/development-stores/stores"
        runner.add_program("psql", "cat > /dev/null\n")
        runner.add_program(
            "docker-entrypoint.sh",
            'echo "entrypoint $*" >> "$LOG"\n[ -e "$PGDATA/PG_VERSION" ] && exit 0\n'
            'mkdir -p "$PGDATA" && touch "$PGDATA/PG_VERSION" && echo new >> "$LOG"\n'
            f'[ -e "$HOPLINE_VOLUME/cut-short" ] && exit 137\nset -e\n. {stores}/create-databases.sh\n',
        )
        return volume

    def start(self, runner: ScriptRunner, volume: Path) -> int:
        script = "components/development-stores/stores/start.sh"
        more = {"HOPLINE_VOLUME": str(volume), "PGDATA": str(volume / "18/docker")}
        return runner.run(script, "-c", "max_connections=200", more=more).returncode

    def test_data_directory_is_kept_when_it_is_complete(self, runner: ScriptRunner, volume: Path) -> None:
        assert [self.start(runner, volume) for _ in range(2)] == [0, 0]
        started = "entrypoint postgres -c max_connections=200"
        assert runner.calls() == [started, "new", started]

    def test_data_directory_is_recreated_when_its_initialisation_was_interrupted(
        self, runner: ScriptRunner, volume: Path
    ) -> None:
        (volume / "cut-short").touch()
        assert [self.start(runner, volume) for _ in range(2)] == [137, 137]
        (volume / "cut-short").unlink()
        assert self.start(runner, volume) == 0
        assert runner.calls().count("new") == 3
        assert not (volume / "initialising").exists()

    def test_existing_data_directory_is_kept(self, runner: ScriptRunner, volume: Path) -> None:
        (volume / "18/docker").mkdir(parents=True)
        (volume / "18/docker/PG_VERSION").touch()
        assert self.start(runner, volume) == 0
        assert "new" not in runner.calls()


class TestDevelopmentDatabases:
    """`create-databases.sh` with a real PostgreSQL."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(prefix="hopline-test-"))
        folder.chmod(0o711)  # PostgreSQL's account must reach it, unlike pytest's temporary folders
        yield folder
        shutil.rmtree((folder / "postgres").resolve())
        shutil.rmtree(folder)

    @pytest.fixture
    async def server(self, folder: Path) -> AsyncIterator[postgres.Postgres]:
        server = postgres.prepare(folder / "postgres", port=free_port())
        server.initialise("secret")
        command = server.argv(durable=False)
        process = await asyncio.create_subprocess_exec(*command, cwd="/", stderr=DEVNULL, **server.identity)
        await eventually(lambda: postgres.is_ready(server.url("secret")))
        superuser = await asyncpg.connect(server.url("secret"))
        await superuser.execute("CREATE ROLE postgres SUPERUSER LOGIN PASSWORD 'secret'")  # as in the image
        await superuser.close()
        yield server
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 20)

    async def test_only_the_owner_and_the_monitor_can_connect(
        self, runner: ScriptRunner, server: postgres.Postgres, tmp_path: Path
    ) -> None:
        runner.add_program("cat", 'basename "$1"\n')  # the password of each role is its name
        more = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGPASSWORD": "secret"}
        more |= {"HOPLINE_VOLUME": str(tmp_path), "PSQL": str(postgres.bundled_programs() / "bin/psql")}
        runner.add_program("psql", 'exec "$PSQL" -qX "$@"\n')
        script = "components/development-stores/stores/create-databases.sh"
        done = await asyncio.to_thread(runner.run, script, more=more)
        assert (done.returncode, done.stderr) == (0, "")

        owners = ("users", "orders", "notifications", "workers")
        allowed = set()
        for role in (*owners, "monitor"):
            for database in owners:
                with suppress(asyncpg.InsufficientPrivilegeError):
                    connection = await asyncpg.connect(server.url(role, user=role, database=database))
                    allowed.add((role, database))
                    await connection.close()
        assert allowed == {(name, name) for name in owners} | {("monitor", name) for name in owners}


class TestKind:
    @pytest.fixture(autouse=True)
    def add_programs(self, runner: ScriptRunner) -> None:
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
            find_first(calls, "kind load docker-image", *(f"hopline/{pair.split('=')[0]}:dev" for pair in DIGESTS)),
            find_first(calls, "apply", "--context kind-hopline"),
            find_first(calls, "make", "demo"),
        ]
        assert steps == sorted(steps)
        assert not any("rollout restart" in line for line in calls)

    def test_up_deploys_new_images_when_the_cluster_exists(self, runner: ScriptRunner) -> None:
        runner.add_program("kind", 'echo "kind $*" >> "$LOG"\ncase "$*" in "get clusters") echo hopline ;; esac\n')
        assert runner.run("kind-up.sh").returncode == 0
        calls = runner.calls()
        assert not any("create cluster" in line for line in calls)
        assert find_first(calls, "rollout restart") < find_first(calls, "make", "demo")

    def test_up_deploys_the_overlay_of_the_variable(self, runner: ScriptRunner) -> None:
        done = runner.run("kind-up.sh", more={"OVERLAY": "kind-telemetry"})
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
