import os
from collections.abc import Callable
from typing import Any

from compose.images import MEBIBYTE

FakeDocker = Any  # defined in conftest.py, which tests cannot import in importlib mode
Run = Callable[..., Any]


class TestLogs:
    def test_logs_escapes_control_characters(self, docker: FakeDocker, run: Run) -> None:
        docker.list_containers({"orders": {}})
        docker.respond("compose logs", "orders-1 | \x1b]0;owned\x07\u202e text\n")
        done = run("logs", "orders")
        assert done.returncode == 0
        assert done.stdout == "orders-1 | \\u001b]0;owned\\u0007\\u202e text\n"

    def test_logs_succeeds_when_the_reader_closes_the_pipe(self, docker: FakeDocker, run: Run) -> None:
        docker.respond("compose logs", "orders-1 | text\n" * 10_000)
        reader, writer = os.pipe()
        os.close(reader)
        done = run("logs", stdout=writer)
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, "")


class TestImages:
    def test_images_prints_each_size_and_its_maximum(self, docker: FakeDocker, run: Run) -> None:
        docker.respond("image inspect", str(300 * MEBIBYTE), str(200 * MEBIBYTE))
        done = run("images", "orders", "gateway")
        assert [line.split(maxsplit=1) for line in done.stdout.splitlines()[1:]] == [
            ["hopline/orders:dev", "300 MiB  exceeds 230 MiB"],
            ["hopline/gateway:dev", "200 MiB  of at most 230"],
        ]
        assert "compose build --quiet orders gateway" in docker.calls

    def test_images_lists_an_image_once_when_two_services_use_it(self, docker: FakeDocker, run: Run) -> None:
        workers = {"image": "hopline/workers:dev", "build": {}}
        docker.configure_services(**{"worker": workers, "report-worker": workers})
        docker.respond("image inspect", str(256 * MEBIBYTE))
        lines = run("images", "worker", "report-worker").stdout.splitlines()[1:]
        assert [line.split(maxsplit=1) for line in lines] == [["hopline/workers:dev", "256 MiB  of at most 265"]]


class TestMigrate:
    def test_migrate_fails_when_the_databases_do_not_run(self, run: Run) -> None:
        assert "the databases are not running: `make up` starts them" in run("migrate").stderr

    def test_migrate_runs_each_one_shot(self, docker: FakeDocker, run: Run) -> None:
        docker.list_containers({"postgres": {}})
        assert run("migrate").returncode == 0
        ran = [call.rsplit(" ", 1)[1] for call in docker.calls if call.startswith("compose run --rm")]
        assert ran == ["migrate-users", "migrate-orders", "migrate-notifications", "migrate-workers"]


class TestDown:
    def test_down_keeps_the_data_and_clean_deletes_it(self, docker: FakeDocker, run: Run) -> None:
        run("down")
        assert "compose --profile load --profile pgbouncer down --remove-orphans" in docker.calls
        run("clean")
        assert "compose --profile load --profile pgbouncer down --remove-orphans --volumes" in docker.calls
