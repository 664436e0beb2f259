"""Loki's query API, with log records that the OpenTelemetry SDK exports."""

import secrets
import time
from contextlib import suppress
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from observatory import logql, loki, loki_labels
from observatory.attributes import Plain, Resource, Scope
from observatory.logs import LogStore, Record
from observatory.loki import LokiApi, QueryTimeoutError
from testkit.observatory import CreateTelemetry, Observatory, span_id_of, trace_id_of

SECOND_NS = 1_000_000_000
QUOTED = 'say "hi"\nthere'  # with quotes and a line break, which LogQL has to escape


class Shop(NamedTuple):
    """A service, the ids of its span, and the time of its first log record."""

    service: str
    trace_id: str
    span_id: str
    first_ns: int


@pytest.fixture
def shop(observatory: Observatory, create_telemetry: CreateTelemetry) -> Shop:
    """Export three log records of a separate service at intervals of a second, the first two in one span."""
    service = f"shop-{secrets.token_hex(4)}"
    emitter = create_telemetry(observatory, service)
    first_ns = time.time_ns() - 10 * SECOND_NS
    with emitter.tracer.start_as_current_span("op") as span:
        emitter.log("order_placed", time_ns=first_ns, order_id="o-1", **{"http.route": "/orders"})
        emitter.log(QUOTED, time_ns=first_ns + SECOND_NS, count=7)
    emitter.log("outside", time_ns=first_ns + 2 * SECOND_NS)
    return Shop(service, trace_id_of(span), span_id_of(span), first_ns)


def query(observatory: Observatory, expression: str, path: str = "query_range", **params: Any) -> httpx.Response:
    return observatory.get("loki", f"/loki/api/v1/{path}", query=expression, **params)


def lines(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [line for stream in response.json()["data"]["result"] for _, line in stream["values"]]


class TestQueryRange:
    def test_response_has_the_format_of_loki(self, observatory: Observatory, shop: Shop) -> None:
        service, trace_id, span_id, first_ns = shop

        body = query(observatory, f'{{service_name="{service}"}} | trace_id="{trace_id}" |= "order"').json()

        assert body["status"] == "success"
        assert body["data"]["resultType"] == "streams"
        (stream,) = body["data"]["result"]
        assert stream["values"] == [[str(first_ns), "order_placed"]]
        labels = stream["stream"]
        expected = {
            "service_name": service,
            "service_namespace": "hopline",
            "deployment_environment_name": "test",
            "trace_id": trace_id,
            "span_id": span_id,
            "severity_text": "WARNING",
            "severity_number": "13",
            "detected_level": "warn",
            "scope_name": "shop.logging",
            "order_id": "o-1",
            "http_route": "/orders",
            "host_name": "host-1",
        }
        assert expected.items() <= labels.items()
        assert "observed_timestamp" in labels

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ("", ["outside", QUOTED, "order_placed"]),
            (' |= "order"', ["order_placed"]),
            (' != "order"', ["outside", QUOTED]),
            (' |~ "ord.r|out"', ["outside", "order_placed"]),
            (' !~ "ord.r|out"', [QUOTED]),
            (' |= `say "hi"`', [QUOTED]),
            (' |= "say \\"hi\\"\\nthere"', [QUOTED]),
            (' | order_id="o-1"', ["order_placed"]),
            (' | order_id!=""', ["order_placed"]),
            (' | count=~"[0-9]+"', [QUOTED]),
            (' | count=~"[0-9]"|="there"', [QUOTED]),
            (' | trace_id=""', ["outside"]),
            (' | detected_level!~"info|debug" | order_id=""', ["outside", QUOTED]),
        ],
    )
    def test_filters_select_records(
        self, observatory: Observatory, shop: Shop, filters: str, expected: list[str]
    ) -> None:
        assert lines(query(observatory, f'{{service_name="{shop.service}"}}{filters}')) == expected

    @pytest.mark.parametrize(
        ("selector", "is_selected"),
        [
            ('{{service_name=~"{0}.*"}}', True),
            ('{{service_name=~"{1}"}}', False),  # a regular expression must match the whole value
            ('{{service_name="{0}", deployment_environment_name!="prod"}}', True),
            ('{{service_name="{0}",service_namespace!~"hop.*"}}', False),
            ('{{ service_name = "{0}" , host_name="host-1" }}', False),  # not an index label
        ],
    )
    def test_selector_selects_streams(
        self, observatory: Observatory, shop: Shop, selector: str, *, is_selected: bool
    ) -> None:
        service, prefix = shop.service, shop.service[:-2]

        found = lines(query(observatory, selector.format(service, prefix)))

        assert bool(found) == is_selected

    def test_id_filter_selects_a_record_when_its_id_is_an_attribute(
        self, observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        service = f"shop-{secrets.token_hex(4)}"
        emitter = create_telemetry(observatory, service)
        emitter.log("proxied", trace_id="a1", span_id="b2")
        emitter.log("without ids")

        found = query(observatory, f'{{service_name="{service}"}} | trace_id="a1" | span_id="b2"')

        assert lines(found) == ["proxied"]

    def test_records_are_ordered_and_limited(self, observatory: Observatory, shop: Shop) -> None:
        selector = f'{{service_name="{shop.service}"}}'

        assert lines(query(observatory, selector, limit=1)) == ["outside"]
        assert lines(query(observatory, selector, limit=1, direction="forward")) == ["order_placed"]

    def test_start_is_inclusive_and_end_is_exclusive(self, observatory: Observatory, shop: Shop) -> None:
        selector, second_ns = f'{{service_name="{shop.service}"}}', shop.first_ns + SECOND_NS

        assert lines(query(observatory, selector, start=shop.first_ns, end=second_ns)) == ["order_placed"]

    @pytest.mark.parametrize(
        ("times", "is_found"),
        [
            ({"since": "15m"}, True),
            ({"start": "2020-01-01T00:00:00Z"}, True),
            ({"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}, False),
            ({"start": 1_500_000_000}, True),
            ({"start": 1_500_000_000, "end": 1_500_000_001.5}, False),
        ],
    )
    def test_times_are_durations_or_rfc3339_or_seconds(
        self, observatory: Observatory, shop: Shop, times: dict[str, Any], *, is_found: bool
    ) -> None:
        found = lines(query(observatory, f'{{service_name="{shop.service}"}}', **times))

        assert len(found) == (3 if is_found else 0)

    def test_instant_query_returns_the_records_of_the_last_hour(self, observatory: Observatory, shop: Shop) -> None:
        assert len(lines(query(observatory, f'{{service_name="{shop.service}"}}', path="query"))) == 3


class TestInvalidQuery:
    @pytest.mark.parametrize(
        "expression",
        [
            "",
            "{}",
            "orders",
            'rate({service_name="orders"}[5m])',
            'sum by (service_name) (count_over_time({service_name="orders"}[1m]))',
            '{service_name="orders"} | json',
            '{service_name="orders"} | json | status >= 500',
            '{service_name="orders"} | logfmt',
            '{service_name="orders"} | line_format "{{.msg}}"',
            '{service_name="orders"} | a="1" or b="2"',
            '{service_name="orders"',
            "{service_name=orders}",
            '{service_name=~"("}',
            '{service_name="a\\d"}',
            '{service_name=~".*"}',
            '{service_name="orders"} trailing',
            '{service_name="orders"} |~ "(?=x)"',
            '{service_name="orders"} |~ "' + "x" * 1_001 + '"',
            '{service_name="orders"} |~ "' + "([ab]{1000})" * 80 + '"',
            '{service_name="orders"}' + ' |~ "x"' * 20,
        ],
    )
    def test_error_names_the_supported_syntax_when_the_expression_is_unsupported(
        self, observatory: Observatory, expression: str
    ) -> None:
        response = query(observatory, expression)

        assert response.status_code == 400
        assert response.headers["content-type"].startswith("text/plain")
        assert 'supported here: {label="value"' in response.text

    @pytest.mark.parametrize("comparison", ['=""', '!="orders"', '=~".*"', '!~"orders"'])
    def test_error_names_a_comparison_that_rejects_empty_labels_when_the_selector_accepts_them(
        self, observatory: Observatory, comparison: str
    ) -> None:
        response = query(observatory, f"{{service_name{comparison}}}")

        assert response.status_code == 400
        assert 'at least one comparison must reject an empty label: =~".+" does' in response.text
        assert query(observatory, f'{{service_name{comparison}, service_namespace=~".+"}}').status_code == 200

    @pytest.mark.parametrize(
        "params",
        [
            {"limit": "0"},
            {"limit": "all"},
            {"limit": "5001"},
            {"limit": "50000000000"},
            {"limit": "1_0"},
            {"limit": "+1"},
            {"limit": "٣"},
            {"limit": " 1"},
            {"start": "٣٣00000000"},
            {"since": "٣h"},
            {"direction": "up"},
            {"start": "soon"},
            {"start": "2020-01-01T00:00:00"},
            {"start": "2020-01-01"},
            {"since": "forever"},
            {"start": 2_000_000_000, "end": 1_000_000_000},
        ],
    )
    def test_query_is_rejected_when_a_parameter_is_invalid(
        self, observatory: Observatory, params: dict[str, Any]
    ) -> None:
        assert query(observatory, '{service_name="orders"}', **params).status_code == 400

    @given(st.text(alphabet='{}=~!|",`\\ ab_1(.*)', max_size=40))
    def test_parser_raises_only_unsupported_error_for_any_text(self, text: str) -> None:
        with suppress(logql.UnsupportedError):
            logql.parse(text)


class TestQueryTime:
    @pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(.*a){25}$", "(?:a?){25}a{25}$"])
    @pytest.mark.parametrize("place", ["|~", "| repeated=~"])
    def test_pathological_pattern_matches_in_linear_time(
        self, observatory: Observatory, create_telemetry: CreateTelemetry, pattern: str, place: str
    ) -> None:
        service = f"shop-{secrets.token_hex(4)}"
        text = "a" * 4_000 + "!"
        create_telemetry(observatory, service).log(text, repeated=text)
        assert lines(query(observatory, f'{{service_name="{service}"}} {place} `{pattern}`')) == []
        assert lines(query(observatory, f'{{service_name="{service}"}} {place} `{pattern[:-1]}.*`')) == [text]

    async def test_query_is_aborted_when_it_takes_too_long(self) -> None:
        logs = LogStore(max_records=1, max_bytes=1_000)
        logs.add(
            Record(
                time_ns=time.time_ns(),
                trace_id="",
                span_id="",
                resource=Resource("shop", {}),
                scope=Scope("", ""),
                raw=b"",
            )
        )
        app = Starlette(
            routes=LokiApi(logs=logs, timeout_s=0.0).routes(),
            exception_handlers={QueryTimeoutError: loki.reject_timeout},
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loki") as client:
            response = await client.get("/loki/api/v1/query_range", params={"query": '{a="b"}'})
        assert response.status_code == 504
        assert "takes too long" in response.text


class TestLabels:
    @pytest.mark.parametrize("attributes", [{}, {"service.name": ""}])
    def test_service_name_is_unknown_service_when_the_resource_has_none(self, attributes: dict[str, Plain]) -> None:
        assert loki_labels.index_labels(Resource("", attributes)) == {"service_name": "unknown_service"}

    def test_index_labels_and_their_values_are_listed(self, observatory: Observatory, shop: Shop) -> None:
        names = observatory.get("loki", "/loki/api/v1/labels").json()
        values = observatory.get("loki", "/loki/api/v1/label/service_name/values").json()

        assert names == {
            "status": "success",
            "data": ["deployment_environment_name", "service_name", "service_namespace"],
        }
        assert shop.service in values["data"]
        assert observatory.get("loki", "/loki/api/v1/label/unknown/values").json()["data"] == []

    def test_server_is_ready(self, observatory: Observatory) -> None:
        assert observatory.get("loki", "/ready").text == "ready\n"
