"""The tables of the metrics page and of `make top`, as PromQL expressions that also work with Prometheus.

The expressions use the metrics and the arithmetic of the dashboards in `infra/grafana/dashboards`. `$window` is the
range of `rate`.
"""

from dataclasses import dataclass
from typing import Final

WINDOW: Final = "$window"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of each row. `unit` is rate, share, seconds, count or circuit (0 closed, 1 half open, 2 open)."""

    title: str
    unit: str
    expression: str

    def over(self, seconds: float) -> str:
        """Return the expression with a range of `seconds`, at least 1."""
        return self.expression.replace(WINDOW, f"{max(1, round(seconds))}s")


@dataclass(frozen=True, slots=True)
class Table:
    """Figures by the labels `by`. `exemplars` is the histogram whose exemplars lead to traces, "" for none."""

    id: str
    title: str
    note: str
    by: tuple[str, ...]
    columns: tuple[Column, ...]
    exemplars: str = ""


LABEL_TITLES: Final = {
    "service_name": "service",
    "http_request_method": "method",
    "http_route": "route",
    "http_response_status_code": "status",
    "server_address": "to",
    "server_port": "port",
    "service_peer_name": "to",
    "url_template": "endpoint",
    "messaging_destination_name": "stream or queue",
    "messaging_consumer_group_name": "group",
    "hopline_job_kind": "job",
    "hopline_job_state": "state",
    "hopline_job_outcome": "outcome",
    "hopline_pull_source": "source",
    "hopline_websocket_close_code": "code",
    "hopline_refused_by": "part",
    "hopline_quota": "limit",
    "hopline_kind": "requests",
    "db_query_summary": "statement",
    "instance": "process",
}


def _rate(metric: str, by: str, matchers: str = "") -> str:
    chosen = f"{{{matchers}}}" if matchers else ""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{chosen}[{WINDOW}]))"


def _quantile(quantile: str, metric: str, by: str, matchers: str = "") -> str:
    chosen = f"{{{matchers}}}" if matchers else ""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({quantile}, sum by ({labels}) (rate({metric}_bucket{chosen}[{WINDOW}])))"


_HOPLINE = 'service_namespace="hopline"'
_REQUESTS = "http_server_request_duration_seconds"
_CALLS = "http_client_request_duration_seconds"
_PROCESS = "messaging_process_duration_seconds"
_LATENCY = "hopline_notification_latency_seconds"
_POOL = "db_client_connection"
_STATEMENT = "service_name, db_query_summary"
_PEER = "service_peer_name, http_request_method, url_template"
_BACKLOG = "messaging_destination_name, messaging_consumer_group_name"


def _requests(by: str) -> tuple[Column, ...]:
    errors = f'{_HOPLINE},http_response_status_code=~"5.."'
    every = _rate(f"{_REQUESTS}_count", by, _HOPLINE)
    return (
        Column("rate", "rate", every),
        Column("errors", "share", f"{_rate(f'{_REQUESTS}_count', by, errors)} / {every}"),
        *(
            Column(f"p{title}", "seconds", _quantile(f"0.{title}", _REQUESTS, by, _HOPLINE))
            for title in ("50", "95", "99")
        ),
    )


def _table(name: str, title: str, note: str, by: str, *columns: Column, exemplars: str = "") -> Table:
    return Table(name, title, note, tuple(by.split(", ")) if by else (), columns, exemplars)


TABLES: Final = (
    _table(
        "services",
        "Services",
        "Requests: rate, share of 5xx responses, duration.",
        "service_name",
        *_requests("service_name"),
        exemplars=f"{_REQUESTS}_bucket",
    ),
    _table(
        "routes",
        "Routes",
        "Requests by route: rate, share of 5xx responses, duration.",
        "service_name, http_request_method, http_route",
        *_requests("service_name, http_request_method, http_route"),
        exemplars=f"{_REQUESTS}_bucket",
    ),
    _table(
        "responses",
        "Responses that are not 2xx",
        "By service and status.",
        "service_name, http_response_status_code",
        Column(
            "rate",
            "rate",
            _rate(
                f"{_REQUESTS}_count",
                "service_name, http_response_status_code",
                f'{_HOPLINE},http_response_status_code!~"2.."',
            ),
        ),
    ),
    _table(
        "calls",
        "Calls between services",
        "As the caller measured them.",
        "service_name, server_address, server_port",
        Column("rate", "rate", _rate(f"{_CALLS}_count", "service_name, server_address, server_port", _HOPLINE)),
        Column("p99", "seconds", _quantile("0.99", _CALLS, "service_name, server_address, server_port", _HOPLINE)),
        exemplars=f"{_CALLS}_bucket",
    ),
    _table(
        "circuits",
        "Circuits and bulkheads of the gateway",
        "By service, and by expensive endpoint.",
        _PEER,
        Column("circuit", "circuit", f"max by ({_PEER}) (hopline_gateway_circuit_state)"),
        Column("in flight", "count", f"sum by ({_PEER}) (hopline_gateway_calls_in_flight)"),
        Column("rejected", "rate", _rate("hopline_gateway_refusals_total", _PEER)),
        Column("retries", "rate", _rate("hopline_gateway_retries_total", _PEER)),
        Column("hedges", "rate", _rate("hopline_gateway_hedges_total", _PEER)),
    ),
    _table(
        "gateway",
        "Load of the gateway",
        "Requests in progress, and those that were rejected.",
        "service_name",
        Column("in flight", "count", "sum by (service_name) (hopline_gateway_requests_in_flight)"),
        Column("shed", "rate", _rate("hopline_gateway_shed_total", "service_name")),
        Column("rate limited", "rate", _rate("hopline_gateway_rate_limited_total", "service_name")),
    ),
    _table(
        "outbox",
        "Outbox",
        "Committed events that are not in the stream yet.",
        "messaging_destination_name",
        Column("depth", "count", "max by (messaging_destination_name) (hopline_outbox_depth)"),
        Column("oldest", "seconds", "max by (messaging_destination_name) (hopline_outbox_age_seconds)"),
    ),
    _table(
        "streams",
        "Streams",
        "Events not yet delivered to a group, delivered but not acknowledged, and dead.",
        _BACKLOG,
        Column("lag", "count", f"max by ({_BACKLOG}) (hopline_stream_lag)"),
        Column("pending", "count", f"max by ({_BACKLOG}) (hopline_stream_pending)"),
        Column("dead letters", "count", f"max by ({_BACKLOG}) (hopline_dead_letters)"),
    ),
    _table(
        "events",
        "Events",
        "Attempts to process an event, by consumer and stream.",
        "service_name, messaging_destination_name",
        Column(
            "rate",
            "rate",
            _rate(f"{_PROCESS}_count", "service_name, messaging_destination_name", 'messaging_system="redis"'),
        ),
        Column(
            "p99",
            "seconds",
            _quantile("0.99", _PROCESS, "service_name, messaging_destination_name", 'messaging_system="redis"'),
        ),
        exemplars=f'{_PROCESS}_bucket{{messaging_system="redis"}}',
    ),
    _table(
        "jobs",
        "Jobs",
        "By job type: jobs that are not done, and attempts.",
        "hopline_job_kind",
        *(
            Column(state, "count", f'max by (hopline_job_kind) (hopline_jobs{{hopline_job_state="{state}"}})')
            for state in ("due", "running", "dead")
        ),
        Column("attempts", "rate", _rate(f"{_PROCESS}_count", "hopline_job_kind", 'messaging_system="arq"')),
        Column("p99", "seconds", _quantile("0.99", _PROCESS, "hopline_job_kind", 'messaging_system="arq"')),
        exemplars=f'{_PROCESS}_bucket{{messaging_system="arq"}}',
    ),
    _table(
        "waits",
        "Waiting for a worker",
        "From due until claimed; age of the oldest due job.",
        "",
        Column("p50", "seconds", _quantile("0.50", "hopline_job_wait_seconds", "")),
        Column("p99", "seconds", _quantile("0.99", "hopline_job_wait_seconds", "")),
        Column("oldest due", "seconds", "max(hopline_job_age_seconds)"),
    ),
    _table(
        "notifications",
        "Notifications",
        "Frames written, pages read for devices that were behind, and the time from event to frame.",
        "",
        Column("sent", "rate", _rate("hopline_notifications_sent_total", "")),
        Column("pulls", "rate", _rate("hopline_notifications_pulls_total", "")),
        Column("p50", "seconds", _quantile("0.50", _LATENCY, "")),
        Column("p99", "seconds", _quantile("0.99", _LATENCY, "")),
        exemplars=f"{_LATENCY}_bucket",
    ),
    _table(
        "sockets",
        "Sockets",
        "Open WebSockets and rooms by process, and sockets that the server closed.",
        "instance",
        Column("open", "count", "sum by (instance) (hopline_websocket_connections)"),
        Column("rooms", "count", "sum by (instance) (hopline_room_open)"),
        Column("closed", "rate", _rate("hopline_websocket_closed_total", "instance")),
    ),
    _table(
        "pools",
        "Connection pools",
        "Connections of the services to their databases.",
        "service_name",
        *(
            Column(state, "count", f'sum by (service_name) ({_POOL}_count{{{_POOL}_state="{state}"}})')
            for state in ("used", "idle")
        ),
        Column("maximum", "count", f"sum by (service_name) ({_POOL}_max)"),
        Column("waiting", "count", f"sum by (service_name) ({_POOL}_pending_requests)"),
        Column("wait p99", "seconds", _quantile("0.99", f"{_POOL}_wait_time_seconds", "service_name")),
        Column("timeouts", "rate", _rate(f"{_POOL}_timeouts_total", "service_name")),
    ),
    _table(
        "statements",
        "Statements",
        "By summary. Slow statements also have spans.",
        _STATEMENT,
        Column("rate", "rate", _rate("hopline_db_statements_total", _STATEMENT)),
        Column(
            "mean",
            "seconds",
            _rate("hopline_db_time_seconds_total", _STATEMENT)
            + " / "
            + _rate("hopline_db_statements_total", _STATEMENT),
        ),
    ),
    _table(
        "loops",
        "Event loop delay",
        "How late a sleeping task is resumed.",
        "service_name",
        Column("p50", "seconds", _quantile("0.50", "hopline_event_loop_delay_seconds", "service_name", _HOPLINE)),
        Column("p99", "seconds", _quantile("0.99", "hopline_event_loop_delay_seconds", "service_name", _HOPLINE)),
    ),
)
"""In the order in which they are shown."""
