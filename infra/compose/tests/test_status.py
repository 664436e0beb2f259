import json
from collections.abc import Callable
from typing import Any

import pytest

from compose.status import MEBIBYTE, limits_of

FakeDocker = Any  # defined in conftest.py, which tests cannot import in importlib mode
Run = Callable[..., Any]


CONTAINER_RESTARTS = 2
WORKER_RESTARTS = 3
ORDERS_LIMIT_BYTES = 176 * MEBIBYTE


def inspected(name: str, *, limit_bytes: int) -> dict[str, Any]:
    return {
        "Name": f"/hopline-{name}-1",
        "RestartCount": CONTAINER_RESTARTS,
        "HostConfig": {"Memory": limit_bytes},
        "Config": {"Env": ["WEB_CONCURRENCY=2", "DATABASE_POOL_SIZE=5", "DATABASE_RESERVE=7"]},
        "State": {
            "Pid": 7,
            "StartedAt": "2026-11-23T08:00:00.123456789Z",
            "Health": {"Log": [{"Output": "worker_restarts=9\n"}, {"Output": f"worker_restarts={WORKER_RESTARTS}\n"}]},
        },
    }


@pytest.fixture
def running(docker: FakeDocker) -> FakeDocker:
    docker.list_containers({"orders": {}, "migrate-orders": {"State": "exited", "Health": ""}})
    docker.respond("inspect", json.dumps([inspected("orders", limit_bytes=ORDERS_LIMIT_BYTES)]))
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
        {"name": name, "size_bytes": 8 * MEBIBYTE, "connections": 4, "status": status}
        for name, status in statuses.items()
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
        assert "orders 8 MiB 4 of 197 3 –" in text, "one event has no number, and 10 and 11 are not in the stream"
        assert "events:orders 3 workers 1 0" in text
        assert "sales_summary 2026-11-25T06:00Z done 2026-11-26T06:00Z" in text
        declared = 224 + 176 + 160  # postgres, orders, gateway; the migration is a one-shot
        assert f"memory limits: {declared} MiB in total, at most 2048; 176 MiB of running containers" in text
        needed = 2 * (5 + 1)  # worker processes × (pool and relay)
        assert f"connections: orders {needed} + reserve 7 = {needed + 7} of 197" in text
        assert "migrate-orders" not in text

    def test_status_exits_with_3_when_a_service_was_stopped(self, running: FakeDocker, run: Run) -> None:
        running.list_containers({"orders": {}, "gateway": {"State": "exited", "Health": ""}})
        done = run("status")
        assert done.returncode == 3
        assert "gateway exited" in " ".join(done.stdout.split())

    def test_stopped_container_is_not_part_of_the_sums(self, running: FakeDocker, run: Run) -> None:
        running.list_containers({"orders": {}, "users": {"State": "exited", "Health": ""}})
        running.respond(
            "inspect", json.dumps([inspected(name, limit_bytes=ORDERS_LIMIT_BYTES) for name in ("orders", "users")])
        )
        text = " ".join(run("status").stdout.split())
        assert "connections: orders 12 + reserve 7 = 19 of 197" in text
        assert "176 MiB of running containers" in text

    def test_status_exits_with_3_when_a_service_is_unhealthy(self, running: FakeDocker, run: Run) -> None:
        running.list_containers({"orders": {"Health": "unhealthy"}})
        done = run("status")
        assert done.returncode == 3
        assert "unhealthy" in done.stdout

    def test_status_is_json_when_requested(self, running: FakeDocker, run: Run) -> None:
        found = json.loads(run("status", "--json").stdout)
        assert found["limit_bytes"] == ORDERS_LIMIT_BYTES
        assert found["processes"][0]["restarts"] == CONTAINER_RESTARTS + WORKER_RESTARTS

    def test_status_exits_with_3_when_nothing_runs(self, docker: FakeDocker, run: Run) -> None:
        done = run("status")
        assert done.returncode == 3
        assert "Hopline is not running" in done.stdout


def test_limits_of_does_not_count_one_shots() -> None:
    service = {"deploy": {"resources": {"limits": {"memory": "100"}}}}
    assert limits_of({"orders": service, "migrate-orders": {**service, "restart": "no"}}) == 100
