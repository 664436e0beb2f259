import json
from collections.abc import Callable
from typing import Any

import pytest

from compose.status import limits_of

Docker = Any  # the conftest's, which importlib mode does not let a test import
Run = Callable[..., Any]


def inspected(name: str, *, memory: int) -> dict[str, Any]:
    return {
        "Name": f"/hopline-{name}-1",
        "RestartCount": 2,
        "HostConfig": {"Memory": memory},
        "State": {
            "Pid": 7,
            "StartedAt": "2026-11-23T08:00:00.123456789Z",
            "Health": {"Log": [{"Output": "worker_restarts=9\n"}, {"Output": "worker_restarts=3\n"}]},
        },
    }


@pytest.fixture
def running(docker: Docker) -> Docker:
    docker.containers({"orders": {}, "migrate-orders": {"State": "exited", "Health": ""}})
    docker.answer("inspect", json.dumps([inspected("orders", memory=184549376)]))
    docker.answer("stats", json.dumps({"Name": "hopline-orders-1", "MemUsage": "96.5MiB / 176MiB"}))
    docker.answer(
        "compose exec -T redis redis-cli --json XINFO STREAM", json.dumps({"length": 3, "last-generated-id": "9-0"})
    )
    docker.answer(
        "compose exec -T redis redis-cli --json XINFO GROUPS", json.dumps([{"name": "workers", "lag": 1, "pending": 0}])
    )
    rows: list[dict[str, Any]] = [
        {"size": 8 << 20, "connections": 4, "limit": 200, "outbox": 0, "dead_letters": None, "jobs": None}
    ] * 3
    rows.append({**rows[0], "outbox": None, "dead_letters": 2, "jobs": {"done": 5, "waiting": 1}})
    docker.answer("compose exec -T postgres psql", "".join(json.dumps(row) + "\n" for row in rows))
    slots = {"last_slot": "2026-11-25T06:00Z", "next_slot": "2026-11-26T06:00Z"}
    docker.answer(
        "compose exec -T postgres psql -qAtX -U postgres -d workers",
        json.dumps({"name": "sales_summary", "last_state": "done", **slots}),
    )
    return docker


class TestStatus:
    def test_shows_containers_stores_and_the_sum_of_limits(self, running: Docker, run: Run) -> None:
        done = run("status")
        assert done.returncode == 0, done.stderr
        text = " ".join(done.stdout.split())
        assert "orders running 7" in text
        assert "96 MiB" in text
        assert "workers 8 MiB 4 of 200 – 2 5 done, 1 waiting" in text
        assert "events:orders 3 workers 1 0" in text
        assert "sales_summary 2026-11-25T06:00Z done 2026-11-26T06:00Z" in text
        assert "memory limits: 560 MiB together, at most 2048; 176 MiB of them in use by what runs now" in text
        assert "migrate-orders" not in text

    def test_counts_shipped_events_against_the_outbox(self, running: Docker, run: Run) -> None:
        run("status")
        assert any("XINFO STREAM events:users" in call for call in running.called)

    def test_an_unhealthy_service_is_shown_and_told_by_the_exit_code(self, running: Docker, run: Run) -> None:
        running.containers({"orders": {"Health": "unhealthy"}})
        done = run("status")
        assert done.returncode == 3
        assert "unhealthy" in done.stdout

    def test_json_is_for_programs(self, running: Docker, run: Run) -> None:
        found = json.loads(run("status", "--json").stdout)
        assert found["limit_bytes"] == 184549376
        assert found["processes"][0]["restarts"] == 2 + 3

    def test_nothing_running_says_so(self, docker: Docker, run: Run) -> None:
        done = run("status")
        assert done.returncode == 3
        assert "Hopline is not running" in done.stdout


def test_one_shots_do_not_count_with_what_runs_later() -> None:
    limits = {"deploy": {"resources": {"limits": {"memory": "100"}}}}
    assert limits_of({"orders": limits, "migrate-orders": {**limits, "restart": "no"}}) == 100


class TestOtherCommands:
    def test_images_prints_sizes_against_the_target(self, docker: Docker, run: Run) -> None:
        docker.answer("image inspect", str(300 << 20), str(200 << 20))
        done = run("images", "orders", "gateway")
        assert [line.split(maxsplit=1) for line in done.stdout.splitlines()[1:]] == [
            ["hopline/orders:dev", "300 MiB  over the 230 MiB"],
            ["hopline/gateway:dev", "200 MiB  of at most 230"],
        ]
        assert "compose build --quiet orders gateway" in docker.called

    def test_an_image_of_two_services_is_shown_once(self, docker: Docker, run: Run) -> None:
        workers = {"image": "hopline/workers:dev", "build": {}}
        docker.answer("compose config", json.dumps({"services": {"worker": workers, "report-worker": workers}}))
        docker.answer("image inspect", str(256 << 20))
        shown = run("images").stdout.splitlines()[1:]
        assert [line.split(maxsplit=1) for line in shown] == [["hopline/workers:dev", "256 MiB  of at most 265"]]

    def test_migrate_needs_the_databases(self, run: Run) -> None:
        assert "the databases are not running: `make up` starts them" in run("migrate").stderr

    def test_migrate_runs_each_one_shot(self, docker: Docker, run: Run) -> None:
        docker.containers({"postgres": {}})
        assert run("migrate").returncode == 0
        ran = [call.rsplit(" ", 1)[1] for call in docker.called if call.startswith("compose run --rm")]
        assert ran == ["migrate-users", "migrate-orders", "migrate-notifications", "migrate-workers"]

    def test_down_keeps_the_data_and_clean_does_not(self, docker: Docker, run: Run) -> None:
        run("down")
        assert "compose --profile load down --remove-orphans" in docker.called
        run("clean")
        assert "compose --profile load down --remove-orphans --volumes" in docker.called
