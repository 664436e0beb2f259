"""Inner timeouts are shorter than outer timeouts, so that the process that has the error can still report it."""

import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

import notifications.realtime.tickets
import orders.clients
import shared.auth.keys
import shared.context
import shared.db.database
import shared.http.client
import shared.server.gunicorn
import shared.web.profiling
import users.settings
import workers.clients
import workers.jobs.types
from gateway.clients import CONNECT_TIMEOUT_S
from gateway.settings import Settings
from shared.server.protocols.http import BoundedHttpProtocol
from shared.server.worker import DrainingWorker

ROOT = Path(__file__).resolve().parents[2]


def get_default(settings: type[BaseSettings], name: str) -> float:
    """Return the default of a setting."""
    value: float = settings.model_fields[name].default
    return value


def get_gateway_default(name: str) -> float:
    """Return the default of a setting of the gateway."""
    return get_default(Settings, name)


MARGIN_S = 1.0
"""Time for the work of a service before and after its wait, and for the response."""

SYN_RETRANSMISSION_S = 1.0
"""Time after which the kernel sends the first packet of a connection again (RFC 6298 §2)."""

WAITS_OF_SERVICES = {
    "users: a thread that hashes passwords": get_default(users.settings.Settings, "password_timeout_seconds"),
    "all: a database connection": shared.db.database.POOL_TIMEOUT_S,
    "all: a new database connection": shared.db.database.CONNECT_TIMEOUT_S,
    "all: the keys of access tokens": shared.auth.keys.FETCH_S,
    "notifications: Redis, for a ticket": notifications.realtime.tickets.TIMEOUT_S,
    "orders: the object store, for a file": orders.clients.OPEN_TIMEOUT_S,
}


@pytest.mark.parametrize("wait_s", WAITS_OF_SERVICES.values(), ids=WAITS_OF_SERVICES.keys())
def test_waits_of_services_end_before_the_call_of_the_gateway(wait_s: float) -> None:
    assert wait_s + MARGIN_S <= get_gateway_default("upstream_seconds")


def test_timeouts_of_the_gateway_are_nested() -> None:
    nested = [
        get_gateway_default("rate_limit_timeout_seconds"),
        get_gateway_default("dashboard_seconds"),
        get_gateway_default("upstream_seconds"),
        get_gateway_default("request_seconds"),
        shared.web.profiling.TIMEOUT_S,
        shared.context.MAX_TIMEOUT_S,
    ]
    assert nested == sorted(set(nested))
    assert SYN_RETRANSMISSION_S + MARGIN_S <= CONNECT_TIMEOUT_S <= get_gateway_default("upstream_seconds") - MARGIN_S
    assert get_gateway_default("dashboard_seconds") > shared.context.GRACE_S + shared.context.RESPONSE_MARGIN_S


def test_timeouts_of_the_workers_are_nested() -> None:
    assert max(WAITS_OF_SERVICES.values()) < workers.clients.CALL_TIMEOUT_S
    assert (
        min(job_type.timeout_s for job_type in workers.jobs.types.JOB_TYPES.values()) > workers.clients.CALL_TIMEOUT_S
    )


def test_stop_of_a_process_waits_for_the_longest_request() -> None:
    stop_s = DrainingWorker.CONFIG_KWARGS["timeout_graceful_shutdown"]
    assert get_gateway_default("request_seconds") <= stop_s < shared.server.gunicorn.graceful_timeout


def test_idle_connections_are_closed_by_the_client_first() -> None:
    assert shared.server.gunicorn.keepalive > shared.http.client.KEEPALIVE_S


def test_websocket_proxy_and_services_wait_equally_long_for_a_request_head() -> None:
    """The limit also applies to idle connections, because `timeout http-keep-alive` is not set (HAProxy's manual)."""
    config = (ROOT / "infra/compose/sockets.cfg").read_text(encoding="utf-8")
    sections = re.split(r"^(?=\w)", config, flags=re.MULTILINE)
    [defaults] = [section for section in sections if section.startswith("defaults")]
    timeouts = dict(re.findall(r"^ +timeout ([\w-]+) (\w+)", defaults, re.MULTILINE))
    assert timeouts["http-request"] == f"{BoundedHttpProtocol.head_seconds:g}s"
    assert "http-keep-alive" not in timeouts
