"""Loki's query API, with log records of the SDK."""

import secrets
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from observatory import logql, loki, loki_labels
from observatory.attributes import Plain, Resource, Scope
from observatory.logs import LogStore, Record
from observatory.loki import LokiApi, QueryTimeoutError
from testkit.observatory import MakeTelemetry, Observatory

SECOND_NS = 1_000_000_000


@pytest.fixture
def shop(observatory: Observatory, telemetry: MakeTelemetry) -> tuple[str, str, str, int]:
    """A separate service with three records at intervals of a second, the first two in one trace."""
    service = f"shop-{secrets.token_hex(4)}"
    emitter = telemetry(observatory, service)
    first_ns = time.time_ns() - 10 * SECOND_NS
    with emitter.tracer.start_as_current_span("op") as span:
        emitter.log("order_placed", time_ns=first_ns, order_id="o-1", **{"http.route": "/orders"})
        emitter.log('say "hi"\nthere', time_ns=first_ns + SECOND_NS, count=7)
    emitter.log("outside", time_ns=first_ns + 2 * SECOND_NS)
    context = span.get_span_context()
    return service, format(context.trace_id, "032x"), format(context.span_id, "016x"), first_ns


def query(observatory: Observatory, expression: str, path: str = "query_range", **params: Any) -> httpx.Response:
    return observatory.get("loki", f"/loki/api/v1/{path}", query=expression, **params)


def lines(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [line for stream in response.json()["data"]["result"] for _, line in stream["values"]]


class TestQueryRange:
    def test_response_has_the_format_of_loki(self, observatory: Observatory, shop: tuple[str, str, str, int]) -> None:
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
        ("suffix", "found"),
        [
            ("", ["outside", 'say "hi"\nthere', "order_placed"]),
            (' |= "order"', ["order_placed"]),
            (' != "order"', ["outside", 'say "hi"\nthere']),
            (' |~ "ord.r|out"', ["outside", "order_placed"]),
            (' !~ "ord.r|out"', ['say "hi"\nthere']),
            (' |= `say "hi"`', ['say "hi"\nthere']),
            (' |= "say \\"hi\\"\\nthere"', ['say "hi"\nthere']),
            (' | order_id="o-1"', ["order_placed"]),
            (' | order_id!=""', ["order_placed"]),
            (' | count=~"[0-9]+"', ['say "hi"\nthere']),
            (' | count=~"[0-9]"|="there"', ['say "hi"\nthere']),
            (' | trace_id=""', ["outside"]),
            (' | detected_level!~"info|debug" | order_id=""', ["outside", 'say "hi"\nthere']),
        ],
    )
    def test_filter_selects_records(
        self, observatory: Observatory, shop: tuple[str, str, str, int], suffix: str, found: list[str]
    ) -> None:
        assert lines(query(observatory, f'{{service_name="{shop[0]}"}}{suffix}')) == found

    @pytest.mark.parametrize(
        ("selector", "fits"),
        [
            ('{{service_name=~"{0}.*"}}', True),
            ('{{service_name=~"{1}"}}', False),  # a regular expression must match the whole value
            ('{{service_name="{0}", deployment_environment_name!="prod"}}', True),
            ('{{service_name="{0}",service_namespace!~"hop.*"}}', False),
            ('{{ service_name = "{0}" , host_name="host-1" }}', False),  # not an index label
        ],
    )
    def test_selector_selects_streams(
        self, observatory: Observatory, shop: tuple[str, str, str, int], selector: str, *, fits: bool
    ) -> None:
        service = shop[0]

        found = lines(query(observatory, selector.format(service, service[:-2])))

        assert bool(found) == fits

    def test_records_are_ordered_and_limited(self, observatory: Observatory, shop: tuple[str, str, str, int]) -> None:
        selector = f'{{service_name="{shop[0]}"}}'

        assert lines(query(observatory, selector, limit=1)) == ["outside"]
        assert lines(query(observatory, selector, limit=1, direction="forward")) == ["order_placed"]

    def test_start_is_inclusive_and_end_is_exclusive(
        self, observatory: Observatory, shop: tuple[str, str, str, int]
    ) -> None:
        service, _, _, first_ns = shop
        selector = f'{{service_name="{service}"}}'

        assert lines(query(observatory, selector, start=first_ns, end=first_ns + SECOND_NS)) == ["order_placed"]
        assert len(lines(query(observatory, selector, since="15m"))) == 3
        assert lines(query(observatory, selector, start="2020-01-01T00:00:00Z", end="2020-01-02T00:00:00Z")) == []
        assert lines(query(observatory, selector, start=1_500_000_000, end=1_500_000_001.5)) == []

    def test_instant_queries_get_a_response(self, observatory: Observatory, shop: tuple[str, str, str, int]) -> None:
        assert len(lines(query(observatory, f'{{service_name="{shop[0]}"}}', path="query"))) == 3


class TestRejects:
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
    def test_unsupported_expression_names_the_supported_syntax(self, observatory: Observatory, expression: str) -> None:
        response = query(observatory, expression)

        assert response.status_code == 400
        assert response.headers["content-type"].startswith("text/plain")
        assert 'supported here: {label="value"' in response.text

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

    @pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(.*a){25}$", "(?:a?){25}a{25}$"])
    @pytest.mark.parametrize("place", ["|~", "| repeated=~"])
    def test_pathological_pattern_matches_in_linear_time(
        self, observatory: Observatory, telemetry: MakeTelemetry, pattern: str, place: str
    ) -> None:
        service = f"shop-{secrets.token_hex(4)}"
        text = "a" * 4_000 + "!"
        telemetry(observatory, service).log(text, repeated=text)
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

    @given(st.text(alphabet='{}=~!|",`\\ ab_1(.*)', max_size=40))
    def test_any_other_text_gets_an_error_response(self, text: str) -> None:
        with suppress(logql.UnsupportedError):
            logql.parse(text)


class TestLabels:
    @pytest.mark.parametrize("attributes", [{}, {"service.name": ""}])
    def test_service_is_unknown_when_the_resource_has_no_name(self, attributes: dict[str, Plain]) -> None:
        assert loki_labels.index_labels(Resource("", attributes)) == {"service_name": "unknown_service"}

    def test_index_labels_and_their_values_are_listed(
        self, observatory: Observatory, shop: tuple[str, str, str, int]
    ) -> None:
        names = observatory.get("loki", "/loki/api/v1/labels").json()
        values = observatory.get("loki", "/loki/api/v1/label/service_name/values").json()

        assert names == {
            "status": "success",
            "data": ["deployment_environment_name", "service_name", "service_namespace"],
        }
        assert shop[0] in values["data"]
        assert observatory.get("loki", "/loki/api/v1/label/nothing/values").json()["data"] == []

    def test_server_is_ready(self, observatory: Observatory) -> None:
        assert observatory.get("loki", "/ready").text == "ready\n"
