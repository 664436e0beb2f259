"""The service map as a picture and as a table."""

import re

import pytest
from opentelemetry.trace import SpanKind
from playwright.sync_api import Page, expect

from testkit.observatory import Observatory

from .conftest import Order, Shop

pytestmark = pytest.mark.xdist_group("browser")

CALLS = [
    ("outside", "gateway"),
    ("gateway", "orders"),
    ("orders", "events:orders"),
    ("events:orders", "notifications"),
    ("events:orders", "workers"),
    ("workers", "hopline:jobs"),
    ("hopline:jobs", "workers"),
]

COUNT_OVERLAPPING_LABELS = """() => {
  const boxes = [...document.querySelectorAll("text.rate")].map((label) => label.getBoundingClientRect());
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom;
  return boxes.filter((one, index) => boxes.slice(index + 1).some((other) => meet(one, other))).length;
}"""


@pytest.fixture
def service_map(page: Page, observatory: Observatory, order: Order) -> Page:
    page.goto(observatory.url("jaeger", "/map"))
    expect(page.locator("svg.map")).to_be_visible()
    return page


def describe_edges(page: Page) -> dict[tuple[str, str], str]:
    """Return the title of each arrow by the names of its source and target."""
    titles = page.locator(".edge title").all_text_contents()
    found = [re.fullmatch(r"(.+) → (.+): (.+)", title) for title in titles]
    return {(title[1], title[2]): title[3] for title in found if title}


def left_edge(page: Page, name: str) -> float:
    box = page.locator(".node").filter(has=page.locator(f'text.name:text-is("{name}")')).bounding_box()
    assert box
    return box["x"]


class TestMap:
    def test_map_draws_calls_streams_and_queues(self, service_map: Page) -> None:
        edges = describe_edges(service_map)

        assert set(CALLS) <= set(edges)
        assert edges["gateway", "orders"] == "1 call, p50 37.0 ms, p95 37.0 ms"
        assert edges["events:orders", "notifications"] == "1 call, p50 10.0 ms, p95 10.0 ms, waited 42.0 ms"
        assert edges["hopline:jobs", "workers"].startswith("2 calls, 1 failed")
        assert edges["workers", "hopline:jobs"] == "2 calls"
        bad = service_map.locator(".edge.bad title").all_text_contents()
        assert any(title.startswith("hopline:jobs → workers") for title in bad)
        assert not any(title.startswith("gateway → orders") for title in bad)
        expect(service_map.locator(".node.service").filter(has_text="workers")).to_contain_text("33.3 % failed")

    def test_work_flows_from_left_to_right(self, service_map: Page) -> None:
        path = ["outside", "gateway", "orders", "events:orders", "workers", "hopline:jobs"]
        places = [left_edge(service_map, name) for name in path]
        assert places == sorted(places)
        assert len(set(places)) == len(places)

    def test_called_service_is_left_of_a_later_caller_when_the_gateway_calls_it_too(
        self, page: Page, observatory: Observatory, order: Order, shop: Shop
    ) -> None:
        for caller, start_ms in (("gateway", 3_000), ("workers", 3_100)):
            root = shop.export_span(caller, "process", (start_ms, start_ms + 20))
            call = shop.export_span(caller, "GET", (start_ms, start_ms + 20), kind=SpanKind.CLIENT, parent=root)
            shop.export_span("users", "GET /users/me", (start_ms + 1, start_ms + 19), kind=SpanKind.SERVER, parent=call)

        page.goto(observatory.url("jaeger", "/map"))

        expect(page.locator("svg.map")).to_be_visible()
        assert {("gateway", "users"), ("workers", "users")} <= set(describe_edges(page))
        assert left_edge(page, "users") < left_edge(page, "events:orders") < left_edge(page, "workers")

    def test_table_has_the_figures_of_each_edge(self, service_map: Page) -> None:
        row = service_map.get_by_role("row", name=re.compile("^hopline:jobs workers"))

        expect(row.get_by_role("cell")).to_contain_text(
            ["hopline:jobs", "workers", "2", "/min", "1 (50.0 %)", "10.0 ms", "40.0 ms", "15.0 ms", "2.05 s"]
        )

    @pytest.mark.parametrize(
        ("calls", "rate"), [(1, "0.5/min"), (25, "12.5/min"), (200, "100/min"), (2_400, "1200/min")]
    )
    def test_rate_is_shown_per_minute(self, page: Page, observatory: Observatory, calls: int, rate: str) -> None:
        figures = {"calls": calls, "errors": 0, "p50_us": 1, "p95_us": 1, "waited_p50_us": None, "waited_p95_us": None}
        source, target = ({"kind": "service", "name": name} for name in ("gateway", "orders"))
        content = {
            "seconds": 120,
            "nodes": [{**source, **figures, "calls": 0}, {**target, **figures}],
            "edges": [{"source": source, "target": target, **figures}],
        }
        page.route("**/observatory/map?*", lambda route: route.fulfill(json=content))
        page.goto(observatory.url("jaeger", "/map"))

        expect(page.locator("text.rate")).to_have_text(rate)
        expect(page.locator(".node.service").filter(has_text="orders")).to_contain_text(rate)
        expect(page.get_by_role("row", name="gateway orders").get_by_role("cell").nth(3)).to_have_text(rate)

    def test_databases_and_mail_servers_are_added_when_selected(self, service_map: Page) -> None:
        assert ("orders", "postgresql orders") not in describe_edges(service_map)

        service_map.get_by_label("databases and mail").check()

        expect(service_map.locator(".node.store")).to_have_count(2)
        assert {("orders", "postgresql orders"), ("workers", "smtp")} <= set(describe_edges(service_map))

    def test_chosen_time_window_is_requested_and_kept_in_the_address(self, service_map: Page) -> None:
        with service_map.expect_response(lambda response: "lookback=1m" in response.url):
            service_map.get_by_label("Calls of the last").select_option("minute")

        expect(service_map).to_have_url(re.compile("lookback=1m"))
        service_map.reload()
        expect(service_map.get_by_label("Calls of the last")).to_have_value("1m")

    def test_service_links_to_its_traces(self, service_map: Page, observatory: Observatory) -> None:
        service_map.get_by_role("link", name="Traces of orders").click()

        expect(service_map).to_have_url(observatory.url("jaeger", "/search?service=orders"))

    def test_labels_do_not_overlap_when_there_are_many(
        self, page: Page, observatory: Observatory, order: Order, shop: Shop
    ) -> None:
        root = shop.export_span("workers", "process events:orders", (3_000, 3_010), kind=SpanKind.CONSUMER)
        for queue in ("hopline:jobs", "hopline:reports"):
            named = {"messaging.destination.name": queue, "messaging.system": "arq"}
            shop.export_span(
                "workers", "run", (3_020, 3_030), kind=SpanKind.CONSUMER, parent=root, failure="x", attributes=named
            )

        page.goto(observatory.url("jaeger", "/map"))

        expect(page.locator(".node").filter(has_text="hopline:reports")).to_be_visible()
        assert page.evaluate(COUNT_OVERLAPPING_LABELS) == 0
