"""The metrics page and the start page."""

import re
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.trace import SpanKind
from playwright.sync_api import Locator, Page, expect

from testkit.observatory import ExportedMetrics, Observatory, trace_id_of

from .conftest import Shop

pytestmark = pytest.mark.xdist_group("browser")

HOSTILE = '<img src=x onerror="window.ran=1">'
ROUTE = {"http.request.method": "POST", "http.route": "/v2/orders"}


@pytest.fixture(scope="module")
def trace_id(observatory: Observatory, shop: Shop) -> Iterator[str]:
    """Export metrics of a gateway and of workers, and return the trace id of the slowest request to /v2/orders."""
    view = View(instrument_name="odd", aggregation=ExponentialBucketHistogramAggregation())
    gateway, workers = ExportedMetrics(observatory, "gateway", views=[view]), ExportedMetrics(observatory, "workers")
    requests = gateway.meter.create_histogram(
        "http.server.request.duration", unit="s", explicit_bucket_boundaries_advisory=[0.01, 0.1, 1]
    )
    with shop.get_telemetry("gateway").tracer.start_as_current_span("POST /v2/orders", kind=SpanKind.SERVER) as span:
        requests.record(0.07, {**ROUTE, "http.response.status_code": 201})
    for _ in range(3):
        requests.record(0.005, {**ROUTE, "http.response.status_code": 503})
    requests.record(0.002, {"http.request.method": "GET", "http.route": HOSTILE, "http.response.status_code": 200})
    circuit = gateway.meter.create_gauge("hopline.gateway.circuit.state")
    circuit.set(2, {"service.peer.name": "orders"})
    circuit.set(0, {"service.peer.name": "users"})
    gateway.meter.create_histogram("odd").record(1)
    workers.meter.create_gauge("hopline.jobs", unit="{job}").set(
        4, {"hopline.job.kind": "send_order_email", "hopline.job.state": "due"}
    )
    for process in (gateway, workers):
        process.export()
    yield trace_id_of(span)
    for process in (gateway, workers):
        process.close()


@pytest.fixture
def metrics_page(page: Page, observatory: Observatory, trace_id: str) -> Page:
    """Open the metrics page after the metrics were exported."""
    assert trace_id
    page.goto(observatory.url("prometheus", "/"))
    expect(page.get_by_role("heading", name="Services", exact=True)).to_be_visible()
    return page


def row(page: Page, table: str, *texts: str) -> Locator:
    found = page.get_by_role("table", name=table, exact=True).get_by_role("row")
    for text in texts:
        found = found.filter(has_text=text)
    return found


class TestMetricsPage:
    def test_page_shows_rate_errors_and_durations_of_services_and_routes(self, metrics_page: Page) -> None:
        heads = metrics_page.get_by_role("table", name="Routes").get_by_role("columnheader")
        assert heads.all_text_contents() == [
            *("service", "method", "route"),
            *("rate", "errors", "p50", "p95", "p99", "slowest trace"),
        ]
        route = row(metrics_page, "Routes", "/v2/orders")
        expect(route).to_contain_text("gateway")
        expect(route.get_by_role("cell").nth(3)).to_have_class(re.compile("bad"))
        expect(route.get_by_role("cell").nth(3)).to_have_text("75.0 %")
        expect(route.get_by_role("cell").nth(2)).to_have_text(re.compile(r"^\d+\.\d+/min$"))
        expect(row(metrics_page, "Services", "gateway").locator("svg").first).to_be_visible()

    def test_page_shows_circuits_and_jobs(self, metrics_page: Page) -> None:
        expect(row(metrics_page, "Circuits and bulkheads of the gateway", "orders")).to_contain_text("open")
        expect(row(metrics_page, "Circuits and bulkheads of the gateway", "users")).to_contain_text("closed")
        expect(row(metrics_page, "Jobs", "send_order_email").get_by_role("cell").nth(0)).to_have_text("4")

    def test_page_lists_empty_tables_and_dropped_points(self, metrics_page: Page) -> None:
        expect(metrics_page.get_by_role("status")).to_contain_text("No values yet: ")
        expect(metrics_page.get_by_role("status")).to_contain_text("Outbox")
        expect(metrics_page.locator("#kept")).to_contain_text("Points that were dropped: 1 (exponential histogram).")

    def test_exemplar_opens_its_trace(self, metrics_page: Page, trace_id: str) -> None:
        link = metrics_page.get_by_role("link", name="Trace of 70.0 ms: gateway POST /v2/orders")
        link.focus()
        metrics_page.keyboard.press("Enter")

        expect(metrics_page).to_have_url(re.compile(f"/trace/{trace_id}$"))
        expect(metrics_page.locator("h1")).to_have_text("gateway POST /v2/orders")

    def test_window_is_kept_in_the_address(self, metrics_page: Page) -> None:
        metrics_page.get_by_label("Of the last").select_option("5 minutes")
        expect(metrics_page).to_have_url(re.compile(r"\?window=5m"))
        metrics_page.reload()
        expect(metrics_page.get_by_label("Of the last")).to_have_value("5m")
        expect(row(metrics_page, "Routes", "/v2/orders")).to_be_visible()

    def test_focus_is_kept_when_the_page_refreshes(self, metrics_page: Page) -> None:
        link = metrics_page.get_by_role("link", name="Trace of 70.0 ms: gateway POST /v2/orders")
        link.focus()
        with metrics_page.expect_response(re.compile("/observatory/metrics")):
            metrics_page.get_by_label("Of the last").evaluate(
                "select => select.dispatchEvent(new Event('change', {bubbles: true}))"
            )
        expect(link).to_be_focused()

    def test_labels_are_shown_as_text(self, metrics_page: Page) -> None:
        expect(row(metrics_page, "Routes", HOSTILE)).to_be_visible()
        assert metrics_page.evaluate("window.ran") is None
        assert metrics_page.locator("main img").count() == 0

    def test_page_fits_the_width_of_a_phone(self, metrics_page: Page) -> None:
        metrics_page.set_viewport_size({"width": 360, "height": 740})
        expect(metrics_page.get_by_role("table", name="Routes")).to_be_visible()
        assert metrics_page.evaluate("document.documentElement.scrollWidth") <= 360


class TestWithoutMetrics:
    def test_page_names_the_next_step_when_there_are_no_metrics(self, page: Page, observatory: Observatory) -> None:
        page.route("**/observatory/metrics?*", lambda route: route.fulfill(json=self.without_tables(observatory)))
        page.goto(observatory.url("prometheus", "/"))

        expect(page.locator("main .empty")).to_contain_text("No metrics yet.")

    @staticmethod
    def without_tables(observatory: Observatory) -> dict[str, object]:
        """Return the data of the page as in an observatory without metrics."""
        response: dict[str, object] = observatory.get("prometheus", "/observatory/metrics").json()
        return {**response, "tables": []}


class TestStartPage:
    LINKS = (
        ("Shop", 8000, "/"),
        ("API documentation", 8000, "/v2/docs"),
        ("Traces", 16686, "/search"),
        ("Service map", 16686, "/map"),
        ("Metrics", 9090, "/"),
        ("Logs", 3100, "/loki/api/v1/query_range"),
        ("Mailbox", 8025, "/"),
    )

    @pytest.mark.parametrize(("name", "port", "path"), LINKS)
    def test_start_page_links_to_all_pages(
        self, page: Page, observatory: Observatory, name: str, port: int, path: str
    ) -> None:
        page.goto(observatory.url("jaeger", "/"))

        link = page.get_by_role("main").get_by_role("link", name=name, exact=True)
        expect(link).to_have_attribute("href", re.compile(f"^http://127.0.0.1:{port + observatory.offset}{path}"))

    def test_start_page_shows_the_content_and_commands(
        self, page: Page, observatory: Observatory, trace_id: str
    ) -> None:
        assert trace_id
        page.goto(observatory.url("jaeger", "/"))

        expect(page.locator("#traces")).to_have_text(re.compile(r"^\(\d+ traces?\)$"))
        expect(page.locator("#series")).to_have_text(re.compile(r"^\(\d+ series\)$"))
        for command in ("make demo", "make top", "make walk W=redelivery"):
            expect(page.get_by_role("region", name="Try next")).to_contain_text(command)
        page.get_by_role("main").get_by_role("link", name="Metrics", exact=True).click()
        expect(page.get_by_role("heading", name="Services", exact=True)).to_be_visible()
