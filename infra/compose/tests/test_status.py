import json
from collections.abc import Callable
from typing import Any

import pytest

from compose.status import limits_of

FakeDocker = Any  # defined in conftest.py, which tests cannot import in importlib mode
Run = Callable[..., Any]


def inspected(name: str, *, memory: int) -> dict[str, Any]:
    return {
        "Name": f"/hopline-{name}-1",
        "RestartCount": 2,
        "HostConfig": {"Memory": memory},
        "Config": {"Env": ["WEB_CONCURRENCY=2", "DATABASE_POOL_SIZE=5", "DATABASE_RESERVE=7"]},
        "State": {
            "Pid": 7,
            "StartedAt": "2026-11-23T08:00:00.123456789Z",
            "Health": {"Log": [{"Output": "worker_restarts=9\n"}, {"Output": "worker_restarts=3\n"}]},
        },
    }


@pytest.fixture
def running(docker: FakeDocker) -> FakeDocker:
    docker.containers({"orders": {}, "migrate-orders": {"State": "exited", "Health": ""}})
    docker.respond("inspect", json.dumps([inspected("orders", memory=184549376)]))
    docker.respond("stats", json.dumps({"Name": "hopline-orders-1", "MemUsage": "96.5MiB / 176MiB"}))
    docker.respond(
        "compose exec -T redis redis-cli --json XINFO STREAM", json.dumps({"length": 3, "last-generated-id": "9-0"})
    )
    docker.respond(
        "compose exec -T redis redis-cli --json XINFO GROUPS", json.dumps([{"name": "workers", "lag": 1, "pending": 0}])
    )
    schedule = {"name": "sales_summary", "last_slot": "2026-11-25T06:00Z", "last_state": "done"}
    statuses: dict[str, dict[str, Any]] = {
        "orders": {"outbox": {"unsequenced": 1, "last_sequence": 11, "low_water_mark": 4}},
        "workers": {
            "dead_letters": 2,
            "jobs": {"done": 5, "waiting": 1},
            "schedules": [{**schedule, "next_slot": "2026-11-26T06:00Z"}],
        },
    }
    rows = [
        {"name": name, "size_bytes": 8 << 20, "connections": 4, "status": status} for name, status in statuses.items()
    ]
    lines = [json.dumps({"available": 197, "row": row}) + "\n" for row in rows]
    docker.respond("compose exec -T postgres psql", "".join(lines))
    return docker


class TestStatus:
    def test_status_shows_containers_stores_and_the_sum_of_limits(self, running: FakeDocker, run: Run) -> None:
        done = run("status")
        assert done.returncode == 0, done.stderr
        text = " ".join(done.stdout.split())
        assert "orders running 7" in text
        assert "96 MiB" in text
        assert "workers 8 MiB 4 of 197 – 2 5 done, 1 waiting" in text
        assert "orders 8 MiB 4 of 197 3 –" in text, "one event has no number, and two are missing in the stream"
        assert "events:orders 3 workers 1 0" in text
        assert "sales_summary 2026-11-25T06:00Z done 2026-11-26T06:00Z" in text
        assert "memory limits: 560 MiB in total, at most 2048; 176 MiB of running containers" in text
        assert "connections: orders 12 + reserve 7 = 19 of 197" in text
        assert "migrate-orders" not in text

    def test_exit_code_is_3_when_a_service_was_stopped(self, running: FakeDocker, run: Run) -> None:
        running.containers({"orders": {}, "gateway": {"State": "exited", "Health": ""}})
        done = run("status")
        assert done.returncode == 3
        assert "gateway exited" in " ".join(done.stdout.split())

    def test_exit_code_is_3_when_a_service_is_unhealthy(self, running: FakeDocker, run: Run) -> None:
        running.containers({"orders": {"Health": "unhealthy"}})
        done = run("status")
        assert done.returncode == 3
        assert "unhealthy" in done.stdout

    def test_status_is_json_when_requested(self, running: FakeDocker, run: Run) -> None:
        found = json.loads(run("status", "--json").stdout)
        assert found["limit_bytes"] == 184549376
        assert found["processes"][0]["restarts"] == 2 + 3

    def test_exit_code_is_3_when_nothing_runs(self, docker: FakeDocker, run: Run) -> None:
        done = run("status")
        assert done.returncode == 3
        assert "Hopline is not running" in done.stdout


def test_memory_limits_of_one_shots_are_not_counted() -> None:
    limits = {"deploy": {"resources": {"limits": {"memory": "100"}}}}
    assert limits_of({"orders": limits, "migrate-orders": {**limits, "restart": "no"}}) == 100


class TestOtherCommands:
    def test_images_prints_sizes_against_the_target(self, docker: FakeDocker, run: Run) -> None:
        docker.respond("image inspect", str(300 << 20), str(200 << 20))
        done = run("images", "orders", "gateway")
        assert [line.split(maxsplit=1) for line in done.stdout.splitlines()[1:]] == [
            ["hopline/orders:dev", "300 MiB  exceeds 230 MiB"],
            ["hopline/gateway:dev", "200 MiB  of at most 230"],
        ]
        assert "compose build --quiet orders gateway" in docker.called

    def test_image_is_shown_once_when_two_services_use_it(self, docker: FakeDocker, run: Run) -> None:
        workers = {"image": "hopline/workers:dev", "build": {}}
        docker.respond("compose config", json.dumps({"services": {"worker": workers, "report-worker": workers}}))
        docker.respond("image inspect", str(256 << 20))
        shown = run("images").stdout.splitlines()[1:]
        assert [line.split(maxsplit=1) for line in shown] == [["hopline/workers:dev", "256 MiB  of at most 265"]]

    def test_migrate_fails_when_the_databases_do_not_run(self, run: Run) -> None:
        assert "the databases are not running: `make up` starts them" in run("migrate").stderr

    def test_migrate_runs_each_one_shot(self, docker: FakeDocker, run: Run) -> None:
        docker.containers({"postgres": {}})
        assert run("migrate").returncode == 0
        ran = [call.rsplit(" ", 1)[1] for call in docker.called if call.startswith("compose run --rm")]
        assert ran == ["migrate-users", "migrate-orders", "migrate-notifications", "migrate-workers"]

    def test_down_keeps_the_data_and_clean_deletes_it(self, docker: FakeDocker, run: Run) -> None:
        run("down")
        assert "compose --profile load --profile pgbouncer down --remove-orphans" in docker.called
        run("clean")
        assert "compose --profile load --profile pgbouncer down --remove-orphans --volumes" in docker.called
