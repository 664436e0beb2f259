"""Inner timeouts are below outer ones: the part that knows what is wrong responds, before its caller stops waiting."""

import pytest
from pydantic_settings import BaseSettings

import notifications.realtime.tickets
import orders.clients
import shared.database
import shared.deadline
import shared.gunicorn
import shared.http
import shared.profiling
import shared.tokens
import users.settings
import workers.clients
import workers.kinds
from gateway.clients import CONNECT_TIMEOUT_S
from gateway.settings import Settings
from shared.worker import DrainingWorker


def default(settings: type[BaseSettings], name: str) -> float:
    """Return the default of a setting."""
    value: float = settings.model_fields[name].default
    return value


def seconds(name: str) -> float:
    """Return the default of a setting of the gateway."""
    return default(Settings, name)


MARGIN_S = 1.0
"""A service's own work before and after the wait, and the way back."""

SYN_AGAIN_S = 1.0
"""Time after which the system repeats the first packet of a connection (RFC 6298 §2)."""

WAITS_OF_SERVICES = {
    "users: a thread that hashes passwords": default(users.settings.Settings, "password_timeout_seconds"),
    "all: a database connection": shared.database.POOL_TIMEOUT_S,
    "all: a new database connection": shared.database.CONNECT_TIMEOUT_S,
    "all: the keys of access tokens": shared.tokens.FETCH_S,
    "notifications: Redis, for a ticket": notifications.realtime.tickets.TIMEOUT_S,
    "orders: the object store, for a file": orders.clients.OPEN_TIMEOUT_S,
}


@pytest.mark.parametrize("wait_s", WAITS_OF_SERVICES.values(), ids=WAITS_OF_SERVICES.keys())
def test_a_wait_of_a_service_ends_before_the_gateways_call(wait_s: float) -> None:
    assert wait_s + MARGIN_S <= seconds("upstream_seconds")


def test_the_gateways_timeouts_are_nested() -> None:
    nested = [
        seconds("rate_limit_patience_seconds"),
        seconds("dashboard_seconds"),
        seconds("upstream_seconds"),
        seconds("request_seconds"),
        shared.profiling.TIMEOUT_S,
        shared.deadline.LONGEST_S,
    ]
    assert nested == sorted(set(nested))
    assert SYN_AGAIN_S + MARGIN_S <= CONNECT_TIMEOUT_S <= seconds("upstream_seconds") - MARGIN_S
    assert seconds("dashboard_seconds") > shared.deadline.GRACE_S + shared.deadline.RESPONSE_S


def test_the_workers_timeouts_are_nested() -> None:
    assert max(WAITS_OF_SERVICES.values()) < workers.clients.CALL_S
    assert min(kind.timeout_s for kind in workers.kinds.KINDS.values()) > workers.clients.CALL_S


def test_a_stop_waits_for_a_whole_request() -> None:
    stop_s = DrainingWorker.CONFIG_KWARGS["timeout_graceful_shutdown"]
    assert seconds("request_seconds") <= stop_s < shared.gunicorn.graceful_timeout


def test_kept_connections_end_at_the_client_first() -> None:
    assert shared.gunicorn.keepalive > shared.http.KEEPALIVE_S
