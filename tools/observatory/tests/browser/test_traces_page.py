"""The list of traces and its search."""

import re
import secrets
from urllib.parse import urlencode

import pytest
from opentelemetry.trace import SpanKind
from playwright.sync_api import BrowserContext, Locator, Page, expect

from testkit.observatory import Observatory

from .conftest import Order, Shop

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture
def service(shop: Shop) -> str:
    """Export three traces of a separate service, and return its name. The last trace failed."""
    name = f"shop-{secrets.token_hex(4)}"
    shop.export_span(name, "GET /quick", (0, 2), kind=SpanKind.SERVER, attributes={"sku": "MUG BLUE"})
    shop.export_span(name, "GET /slow", (500, 900), kind=SpanKind.SERVER, attributes={"sku": "CUP"})
    shop.export_span(
        name, "GET /slow", (1_000, 1_050), kind=SpanKind.SERVER, attributes={"sku": "CUP"}, failure="out of stock"
    )
    return name


@pytest.fixture
def traces_page(page: Page, observatory: Observatory, service: str) -> Page:
    page.goto(observatory.url("jaeger", f"/search?service={service}"))
    expect(durations(page)).to_have_text(["50.0 ms", "400 ms", "2.00 ms"])
    return page


def durations(page: Page) -> Locator:
    return page.locator("td.took")


class TestList:
    def test_list_shows_the_columns_of_each_trace(self, page: Page, observatory: Observatory, order: Order) -> None:
        page.goto(observatory.url("jaeger", "/search?service=gateway"))

        row = page.get_by_role("row", name="gateway POST /v2/orders")
        expect(row.get_by_role("cell")).to_have_text(
            [
                "gateway POST /v2/orders",
                "gateway 2orders 3workers 4notifications 2",
                "11",
                "1",
                "2.15 s",
                re.compile(r"^\d\d:\d\d:\d\d\.\d\d\d$"),
            ]
        )
        colours = row.locator(".chip").evaluate_all("chips => chips.map((chip) => getComputedStyle(chip).color)")
        assert len(set(colours)) == len(colours)

        row.click()

        expect(page).to_have_url(observatory.url("jaeger", f"/trace/{order.trace_id}"))

    def test_list_is_sorted_when_a_heading_is_clicked(self, traces_page: Page) -> None:
        traces_page.get_by_role("button", name="Took").click()

        expect(durations(traces_page)).to_have_text(["400 ms", "50.0 ms", "2.00 ms"])
        expect(traces_page.get_by_role("columnheader", name="Took")).to_have_attribute("aria-sort", "descending")

    def test_list_is_refreshed_when_enabled_and_keeps_the_focus(
        self, traces_page: Page, shop: Shop, service: str
    ) -> None:
        traces_page.get_by_label("refresh every 2 s").check()
        traces_page.get_by_role("link", name=f"{service} GET /quick").focus()

        shop.export_span(service, "GET /new", (2_000, 2_030))

        expect(durations(traces_page)).to_have_text(["30.0 ms", "50.0 ms", "400 ms", "2.00 ms"])
        expect(traces_page.get_by_role("link", name=f"{service} GET /quick")).to_be_focused()
        expect(traces_page).to_have_url(re.compile("live=on"))


class TestRefresh:
    def test_refreshes_do_not_overlap_when_the_switch_is_changed_during_one(
        self, page: Page, observatory: Observatory
    ) -> None:
        page.goto(observatory.url("jaeger", "/search"))

        calls = page.evaluate(
            """async () => {
                const { refreshWhileChecked } = await import("/assets/live.js");
                const box = document.body.appendChild(document.createElement("input"));
                Object.assign(box, { type: "checkbox", checked: true });
                let [running, mostRunning, calls, end] = [0, 0, 0];
                const refresh = () => {
                    mostRunning = Math.max(mostRunning, (running += 1));
                    calls += 1;
                    return new Promise((resolve) => (end = resolve)).then(() => (running -= 1));
                };
                refreshWhileChecked(box, refresh, 1);
                for (let change = 0; change < 4; change++) box.click();
                const before = calls;
                end();
                while (calls === before) await new Promise((resolve) => setTimeout(resolve, 1));
                return { before, calls, mostRunning };
            }"""
        )

        assert calls == {"before": 1, "calls": 2, "mostRunning": 1}


class TestFormat:
    @pytest.mark.parametrize(
        ("microseconds", "expected"),
        [
            (0, "0 µs"),
            (999, "999 µs"),
            (999.6, "1.00 ms"),
            (9_996, "10.0 ms"),
            (999_600, "1.00 s"),
            (4_190_000, "4.19 s"),
            (59_960_000, "1.00 min"),
        ],
    )
    def test_unit_and_decimals_fit_the_rounded_duration(
        self, page: Page, observatory: Observatory, microseconds: float, expected: str
    ) -> None:
        page.goto(observatory.url("jaeger", "/search"))

        shown = page.evaluate("async (us) => (await import('/assets/page.js')).duration(us)", microseconds)

        assert shown == expected


class TestSearch:
    def test_search_filters_by_each_field_and_keeps_it_in_the_address(
        self, page: Page, observatory: Observatory, service: str
    ) -> None:
        address = observatory.url("jaeger", f"/search?service={service}&operation=GET+%2Fslow")
        page.goto(address)
        expect(page.get_by_label("Operation")).to_have_value("GET /slow")
        expect(durations(page)).to_have_text(["50.0 ms", "400 ms"])
        for field, value, found in (
            ("Took at least", "100ms", ["400 ms"]),
            ("Took at least", "", ["50.0 ms", "400 ms"]),
            ("at most", "0.1s", ["50.0 ms"]),
            ("at most", "", ["50.0 ms", "400 ms"]),
            ("Attributes", "sku=TEA", []),
            ("Attributes", "sku=CUP span.kind=server", ["50.0 ms", "400 ms"]),
        ):
            page.get_by_label(field, exact=True).fill(value)
            page.get_by_role("button", name="Find").click()
            expect(durations(page)).to_have_text(found)

        page.get_by_label("failed").check()
        page.get_by_role("button", name="Find").click()
        expect(durations(page)).to_have_text(["50.0 ms"])
        page.reload()
        expect(page.get_by_label("failed")).to_be_checked()
        expect(durations(page)).to_have_text(["50.0 ms"])
        page.go_back()
        expect(durations(page)).to_have_text(["50.0 ms", "400 ms"])

    def test_attribute_with_spaces_is_found(self, traces_page: Page) -> None:
        traces_page.get_by_label("Attributes").fill('sku="MUG BLUE"')
        traces_page.keyboard.press("Enter")

        expect(durations(traces_page)).to_have_text(["2.00 ms"])

    @pytest.mark.parametrize("words", ["CUP", 'sku=CUP "GET', "=CUP"])
    def test_error_is_shown_when_an_attribute_has_no_name_or_no_value(
        self, browser: BrowserContext, observatory: Observatory, words: str
    ) -> None:
        opened = browser.new_page()  # not `page`: the browser's console reports the 400
        opened.goto(observatory.url("jaeger", f"/search?{urlencode({'attributes': words})}"))

        expect(opened.get_by_role("alert")).to_contain_text("malformed 'tag' parameter, expecting key:value")
        opened.close()

    def test_search_lists_the_operations_of_the_chosen_service(
        self, page: Page, observatory: Observatory, service: str
    ) -> None:
        page.goto(observatory.url("jaeger", "/search"))

        page.get_by_label("Service").select_option(service)

        operation = page.get_by_label("Operation").get_by_role("option")
        expect(operation.filter(has_text="GET /slow")).to_have_count(1)
        expect(operation.filter(has_text="POST /v2/orders")).to_have_count(0)

    def test_dot_of_the_chart_links_to_its_trace(
        self, traces_page: Page, observatory: Observatory, shop: Shop, service: str
    ) -> None:
        dots = traces_page.locator("#scatter circle")
        expect(dots).to_have_count(traces_page.locator("td.took").count())

        dots.first.click()

        expect(traces_page.locator("#summary h1")).to_contain_text(service)
