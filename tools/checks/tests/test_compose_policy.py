"""The rules for Compose: each violation is reported with its service."""

import pytest

from checks.containers.compose_files import default, services
from checks.containers.compose_policy import check
from testkit.checkout import Checkout

MAIN = "infra/compose/compose.yaml"
TELEMETRY = "infra/compose/telemetry.yaml"
HARDENED = "infra/compose/hardened.yaml"


def test_repository_has_no_findings(checkout: Checkout) -> None:
    assert not list(check(checkout.root))
    assert {"gateway", "migrate-orders", "postgres", "collector"} <= {
        service.name for service in services(checkout.root)
    }


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("read_only: true", "read_only: false", "read_only is not True"),
        ("cap_drop: [ALL]", "cap_drop: [NET_RAW]", "cap_drop is not"),
        ('security_opt: ["no-new-privileges:true"]', "security_opt: []", "it may gain privileges"),
        ("{ pids: 128 }", "{}", "pids is not limited"),
        ("init: true", "privileged: true", "it has privileges on the host"),
    ],
)
def test_weakened_hardening_is_found_at_every_service(
    checkout: Checkout, right: str, wrong: str, expected: str
) -> None:
    checkout.corrupt(HARDENED, right, wrong)
    found = [finding for finding in check(checkout.root) if expected in finding.problem]
    assert len(found) == len(services(checkout.root))


@pytest.mark.parametrize(
    ("file", "service", "right", "wrong", "expected"),
    [
        (MAIN, "postgres", 'user: "999:999"', 'user: "postgres"', "its user is postgres"),
        (MAIN, "redis", "image: redis:8.8-alpine", "image: redis:latest", "its image redis:latest has no version"),
        (MAIN, "redis", "image: redis:8.8-alpine", "image: redis", "its image redis has no version"),
        (MAIN, "gateway", "gateway:${VERSION:-dev}", "gateway", "has no tag"),
        (MAIN, "gateway", '["127.0.0.1:${HOPLINE_PORT_GATEWAY:-8000}:8000"]', '["8000:8000"]', "open to the network"),
        (TELEMETRY, "loki", '"127.0.0.1:${HOPLINE_PORT_LOKI', '"0.0.0.0:${HOPLINE_PORT_LOKI', "open to the network"),
        (MAIN, "redis", 'cpus: "1", memory: 96M', 'cpus: "1"', "memory is not limited"),
        (MAIN, "redis", '      test: ["CMD", "redis-cli", "ping"]\n', "", "it has no health check"),
        (MAIN, "redis", '"redis-cli", "ping"', '"curl", "redis"', "its healthcheck needs curl"),
        (TELEMETRY, "collector", "x-no-healthcheck:", "x-remark:", "it has no health check"),
        (
            MAIN,
            "orders",
            '      PORT: "8002"',
            "      OTEL_RESOURCE_ATTRIBUTES: host.name=other",
            "host.name is other",
        ),
        (MAIN, "users", '      PORT: "8001"', '      OTEL_RESOURCE_ATTRIBUTES: ""', "host.name is that of the"),
        (MAIN, "orders", '      PORT: "8002"', "      DATABASE_URL: postgresql://h/x", "DATABASE_URL holds a secret"),
        (MAIN, "orders", '      PORT: "8002"', "      CACHE: redis://u:pw@redis/0", "a password in its URL"),
        (MAIN, "orders", "  orders:\n", "  orders:\n    container_name: orders\n", "allows only one replica"),
        (MAIN, "orders", "  orders:\n", "  orders:\n    network_mode: host\n", "it uses the host's network"),
        (MAIN, "redis", "[data]\n    volumes: [redis", "[date]\n    volumes: [redis", "has no date"),
        (
            MAIN,
            "orders",
            "secrets: [database-url-orders]\n    volumes",
            "secrets: [nope]\n    volumes",
            "has no nope",
        ),
        (
            MAIN,
            "users",
            """
      migrate-users: { condition: service_completed_successfully }
      pgbouncer: { condition: service_healthy, required: false }
      redis: { condition: service_healthy }
""",
            " [migrate-users, pgbouncer, redis]\n",
            "does not wait until migrate-users has ended",
        ),
        (MAIN, "orders", "migrate-orders: { condition", "migrate-order: { condition", "depends on migrate-order"),
        (
            MAIN,
            "users",
            "migrate-users: { condition: service_completed_successfully }",
            "migrate-users: {}",
            "has ended",
        ),
    ],
)
def test_mistake_is_found_with_its_place(
    checkout: Checkout, *, file: str, service: str, right: str, wrong: str, expected: str
) -> None:
    checkout.corrupt(file, right, wrong)
    found = [finding for finding in check(checkout.root) if expected in finding.problem]
    assert [finding.place for finding in found] == [f"{file} {service}"]


@pytest.mark.parametrize("limit", ["1G", '"${LIMIT:-1G}"'], ids=["number", "default of a variable"])
def test_sum_of_memory_limits_is_found_when_it_exceeds_the_maximum(checkout: Checkout, limit: str) -> None:
    checkout.corrupt(MAIN, "memory: 208M", f"memory: {limit}")
    assert any("the memory limits add up to" in finding.problem for finding in check(checkout.root))


def test_memory_limits_of_a_profile_are_found_when_they_exceed_the_maximum(checkout: Checkout) -> None:
    checkout.corrupt(MAIN, "memory: 128M } } }\n\nnetworks", "memory: 160M } } }\n\nnetworks")
    assert [finding.problem for finding in check(checkout.root)] == [
        "the memory limits of profile load add up to 160 MiB"
    ]


def test_environment_is_checked_when_it_is_a_list(checkout: Checkout) -> None:
    text = "services: { extra: { image: x:1, environment: [LOG_LEVEL, DATABASE_URL=postgresql://u:pw@h/x] } }"
    checkout.write(MAIN, text)
    [service] = services(checkout.root)
    assert service.definition["environment"] == {"LOG_LEVEL": None, "DATABASE_URL": "postgresql://u:pw@h/x"}
    found = {finding.problem for finding in check(checkout.root)}
    assert {"DATABASE_URL holds a secret", "DATABASE_URL has a password in its URL"} <= found


def test_unused_secret_is_found(checkout: Checkout) -> None:
    checkout.corrupt(MAIN, "  signing-key: { file", "  unused: { file: x }\n  signing-key: { file")
    assert any(finding.place == "infra/compose unused" for finding in check(checkout.root))


@pytest.mark.parametrize(
    ("text", "value"),
    [("${PORT:-80}", "80"), ("${A}:${B-2}", ":2"), ("${A:-${B:-1}}", "1"), ("${A:?set A}", ""), ("plain", "plain")],
)
def test_variables_are_replaced_by_their_defaults(text: str, value: str) -> None:
    assert default(text) == value
