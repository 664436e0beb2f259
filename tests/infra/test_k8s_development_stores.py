"""The scripts with which PostgreSQL creates its data directory and Hopline's databases in a development cluster."""

import asyncio
import shutil
import signal
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from tests.infra.script_runner import ScriptRunner

from embedded import postgres
from testkit.apps import free_port
from testkit.waiting import eventually

pytestmark = pytest.mark.xdist_group("k8s")


class TestDevelopmentPostgres:
    """`start.sh` with a fake of the image's entrypoint.

    The fake initialises the data directory if that has no file `PG_VERSION`, and then runs `create-databases.sh`. It
    ends before that script if the volume contains the file INTERRUPT.
    """

    INTERRUPT = "interrupt"
    KILLED = 137  # exit status of a process that SIGKILL has ended

    @pytest.fixture
    def volume(self, runner: ScriptRunner, tmp_path: Path) -> Path:
        """Add the fake programs, and return the folder of the volume."""
        volume = tmp_path / "volume"
        volume.mkdir()
        stores = runner.k8s / "components/development-stores/stores"
        runner.add_program("psql", "cat > /dev/null\n")
        runner.add_program(
            "docker-entrypoint.sh",
            'echo "entrypoint $*" >> "$LOG"\n[ -e "$PGDATA/PG_VERSION" ] && exit 0\n'
            'mkdir -p "$PGDATA" && touch "$PGDATA/PG_VERSION" && echo new >> "$LOG"\n'
            f'[ -e "$HOPLINE_VOLUME/{self.INTERRUPT}" ] && exit {self.KILLED}\n'
            f"set -e\n. {stores}/create-databases.sh\n",
        )
        return volume

    def start(self, runner: ScriptRunner, volume: Path) -> int:
        """Run the script, and return its exit status."""
        script = "components/development-stores/stores/start.sh"
        environment = {"HOPLINE_VOLUME": str(volume), "PGDATA": str(volume / "18/docker")}
        return runner.run(script, "-c", "max_connections=200", environment=environment).returncode

    def test_data_directory_is_created_once_when_its_initialisation_is_complete(
        self, runner: ScriptRunner, volume: Path
    ) -> None:
        assert [self.start(runner, volume) for _ in range(2)] == [0, 0]
        started = "entrypoint postgres -c max_connections=200"
        assert runner.calls() == [started, "new", started]

    def test_data_directory_is_recreated_when_its_initialisation_was_interrupted(
        self, runner: ScriptRunner, volume: Path
    ) -> None:
        (volume / self.INTERRUPT).touch()
        assert [self.start(runner, volume) for _ in range(2)] == [self.KILLED, self.KILLED]
        (volume / self.INTERRUPT).unlink()
        assert self.start(runner, volume) == 0
        assert runner.calls().count("new") == 3
        assert not (volume / "initialising").exists()

    def test_data_directory_is_kept_when_it_existed_before_the_first_start(
        self, runner: ScriptRunner, volume: Path
    ) -> None:
        (volume / "18/docker").mkdir(parents=True)
        (volume / "18/docker/PG_VERSION").touch()
        assert self.start(runner, volume) == 0
        assert "new" not in runner.calls()


class TestDevelopmentDatabases:
    """`create-databases.sh` with a real PostgreSQL."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """Return a temporary folder that PostgreSQL's account can enter, unlike those of pytest."""
        folder = Path(tempfile.mkdtemp(prefix="hopline-test-"))
        folder.chmod(0o711)
        yield folder
        shutil.rmtree((folder / "postgres").resolve())
        shutil.rmtree(folder)

    @pytest.fixture
    async def server(self, folder: Path) -> AsyncIterator[postgres.Postgres]:
        """Run a PostgreSQL with the superuser of the image."""
        server = postgres.prepare(folder / "postgres", port=free_port())
        server.initialise("secret")
        command = server.argv(durable=False)
        process = await asyncio.create_subprocess_exec(*command, cwd="/", stderr=DEVNULL, **server.identity)
        await eventually(lambda: postgres.is_ready(server.url("secret")))
        superuser = await asyncpg.connect(server.url("secret"))
        await superuser.execute("CREATE ROLE postgres SUPERUSER LOGIN PASSWORD 'secret'")
        await superuser.close()
        yield server
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 20)

    async def test_only_its_owner_and_the_monitor_can_connect_to_a_database(
        self, runner: ScriptRunner, server: postgres.Postgres, tmp_path: Path
    ) -> None:
        runner.add_program("cat", 'basename "$1"\n')  # the password of each role is its name
        environment = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGPASSWORD": "secret"}
        environment |= {"HOPLINE_VOLUME": str(tmp_path), "PSQL": str(postgres.bundled_programs() / "bin/psql")}
        runner.add_program("psql", 'exec "$PSQL" -qX "$@"\n')
        script = "components/development-stores/stores/create-databases.sh"
        done = await asyncio.to_thread(runner.run, script, environment=environment)
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
