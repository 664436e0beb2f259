"""The sum of all connections is within the limit of PostgreSQL, with and without PgBouncer."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from checks.containers.compose_files import default, services
from checks.kubernetes.manifests import Rendering, Workload
from checks.kubernetes.settings import environment
from embedded.connections import DIRECT, POOLER, PROGRAMS, budget
from embedded.environment import DATABASES
from shared.config import DatabaseSettings, OutboxSettings
from shared.connections import SUPERUSER_RESERVED, ConnectionBudget, Program

Render = Callable[..., Rendering]

PROGRAM_OF_DEPLOYMENT = {
    "hopline-workers": "worker",
    "hopline-report-workers": "report-worker",
    "pgbouncer": POOLER,
}
"""The program of each Deployment whose name is not `hopline-<program>`."""


class TestKubernetes:
    pytestmark = pytest.mark.xdist_group("k8s")

    @pytest.mark.parametrize("components", [(), ("keda",), ("pgbouncer",)], ids=["fixed workers", "KEDA", "PgBouncer"])
    def test_sum_equals_the_figure_in_the_documentation(
        self, rendered: Render, root: Path, components: tuple[str, ...]
    ) -> None:
        max_connections = budget_of(rendered("prod", *components)).needed + SUPERUSER_RESERVED
        assert f"**{max_connections}**" in (root / "docs/deploy.md").read_text()

    @pytest.mark.parametrize("components", [(), ("keda",), ("pgbouncer",), ("keda", "pgbouncer")])
    def test_postgres_of_kind_allows_the_sum_of_all_pods(self, rendered: Render, components: tuple[str, ...]) -> None:
        overlay = rendered("kind", *components)
        [postgres] = overlay.get("StatefulSet", "postgres").spec["template"]["spec"]["containers"]
        [allowed] = [argument for argument in postgres["args"] if argument.startswith("max_connections=")]
        available = int(allowed.removeprefix("max_connections=")) - SUPERUSER_RESERVED
        assert not budget_of(overlay, available=available).problem()

    def test_pools_connect_to_pgbouncer_when_it_is_enabled(self, rendered: Render) -> None:
        programs = budget_of(rendered("prod", "pgbouncer")).programs
        assert {program.name for program in programs if program.pool} == {POOLER}
        assert {program.name for program in programs if program.direct} == {"users", "orders", "migrations"}

    def test_pgbouncer_is_configured_from_the_secrets_of_the_services(self, rendered: Render, tmp_path: Path) -> None:
        overlay = rendered("kind", "pgbouncer")
        [workload] = [workload for workload in overlay.workloads if workload.name == "pgbouncer"]
        [configure] = workload.pod["initContainers"]
        folder, files = tmp_path / "configuration", {}
        folder.mkdir()
        for name, url in environment(overlay, workload, configure).items():
            if name.endswith("_DATABASE_URL"):
                files[f"{name}_FILE"] = str(tmp_path / name)
                (tmp_path / name).write_text(url)
        assert len(files) == len(DATABASES)
        python, *arguments, _folder = configure["command"]
        assert python == "python"
        subprocess.run([sys.executable, *arguments, str(folder)], env={**os.environ, **files}, check=True)  # noqa: S603 - of our manifest
        ini = (folder / "pgbouncer.ini").read_text().splitlines()
        assert "orders = host=postgres.hopline port=5432 dbname=orders" in ini
        assert '"orders" "development-only"' in (folder / "userlist.txt").read_text().splitlines()


def budget_of(overlay: Rendering, *, available: int = 0) -> ConnectionBudget:
    """Return the maximum number of connections of all pods, including the surge of a rollout and all migrations."""
    clients = {
        PROGRAM_OF_DEPLOYMENT.get(workload.name, workload.name.removeprefix("hopline-")): workload
        for workload in overlay.workloads
        if workload.manifest.kind == "Deployment" and "hopline.example/postgres" in workload.labels
    }
    assert clients.keys() >= set(PROGRAMS)
    copies = {name: max_pods(overlay, workload) for name, workload in clients.items()}
    environments = [(name, variables(overlay, workload)) for name, workload in clients.items()]
    found = budget(environments, available=available, copies=copies)
    migrations = Program(name="migrations", direct=len(list(overlay.of("Job"))))
    return ConnectionBudget(programs=(*found.programs, migrations), reserve=found.reserve, available=available)


def variables(overlay: Rendering, workload: Workload) -> dict[str, str]:
    """Return the environment of all containers of a pod."""
    return {
        name: value
        for container in workload.containers
        for name, value in environment(overlay, workload, container).items()
    }


def max_pods(overlay: Rendering, workload: Workload) -> int:
    """Return the maximum number of pods: the limit of the scaler and the surge of a rollout."""
    deployment = workload.manifest
    scalers = [
        scaler.spec.get("maxReplicas") or scaler.spec["maxReplicaCount"]
        for scaler in overlay.of("HorizontalPodAutoscaler", "ScaledObject")
        if scaler.spec["scaleTargetRef"]["name"] == deployment.name
    ]
    replicas = int(scalers[0] if scalers else deployment.spec["replicas"])
    surge = int(deployment.spec["strategy"]["rollingUpdate"]["maxSurge"].removesuffix("%")) / 100
    return replicas + math.ceil(replicas * surge)


class TestCompose:
    @pytest.mark.parametrize(("pooler", "needed"), [("", 72), ("postgresql://pgbouncer:6432", 62)])
    def test_postgres_allows_the_sum_of_all_containers(self, root: Path, pooler: str, needed: int) -> None:
        found = {service.name: service.definition for service in services(root)}
        if not pooler:
            del found[POOLER]
        [max_connections] = [default(word) for word in found["postgres"]["command"] if "max_connections" in word]
        environments = [(name, container_environment(definition, pooler)) for name, definition in found.items()]
        available = int(max_connections.partition("=")[2]) - SUPERUSER_RESERVED
        sum_of_all = budget(environments, available=available)
        assert [program.name for program in sum_of_all.programs if program.name != POOLER] == list(PROGRAMS)
        assert (sum_of_all.needed, sum_of_all.problem()) == (needed, "")


def container_environment(definition: Mapping[str, Any], pooler: str) -> dict[str, str]:
    """Return the default environment of a container, with the address of the pooler."""
    variables = {name: default(value) for name, value in definition.get("environment", {}).items() if value is not None}
    return variables | ({"DATABASE_POOLER_URL": pooler} if "DATABASE_POOLER_URL" in variables else {})


class TestDirect:
    @pytest.mark.parametrize(
        ("program", "settings_path"),
        [(name, f"{name}.settings:Settings") for name in ("users", "orders", "notifications")]
        + [("worker", "workers.settings:Settings"), ("report-worker", "workers.settings:ReportSettings")],
    )
    def test_table_has_one_connection_when_the_program_has_a_relay(self, program: str, settings_path: str) -> None:
        module, _, name = settings_path.partition(":")
        settings = getattr(import_module(module), name)
        assert program in PROGRAMS
        assert issubclass(settings, DatabaseSettings)
        has_relay = issubclass(settings, OutboxSettings)
        assert DIRECT.get(program, 0) == int(has_relay)
