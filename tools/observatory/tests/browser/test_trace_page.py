"""The page of one trace: order, depth, gaps, log records, details and links."""

import re

import pytest
from opentelemetry.trace import SpanKind, set_span_in_context
from playwright.sync_api import Locator, Page, expect

from testkit.observatory import Observatory, export_exception

from .conftest import STATEMENT, Order, Shop, hex_span, hex_trace

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture
def trace(page: Page, observatory: Observatory, order: Order) -> Page:
    page.goto(observatory.url("jaeger", f"/trace/{order.trace_id}"))
    expect(page.locator("li.span")).to_have_count(len(order.spans))
    return page


def row(page: Page, span_id: str) -> Locator:
    return page.locator(f'li.span[id="{span_id}"]')


def starts(element: Locator) -> float:
    box = element.bounding_box()
    assert box
    return box["x"]


def ends(element: Locator) -> float:
    box = element.bounding_box()
    assert box
    return box["x"] + box["width"]


def drag(page: Page, left: float, right: float, y: float) -> None:
    page.mouse.move(left, y)
    page.mouse.down()
    page.mouse.move(right, y, steps=3)
    page.mouse.up()


class TestWaterfall:
    def test_spans_are_below_their_parents_by_start(self, trace: Page, order: Order) -> None:
        shown = trace.locator("li.span").evaluate_all("rows => rows.map((row) => row.id)")
        depths = [int(re.findall(r"\d+", text)[0]) for text in trace.locator("li.span .name > .sr").all_text_contents()]

        names = {span_id: name for name, span_id in order.spans.items()}
        assert list(zip([names[span_id] for span_id in shown], depths, strict=True)) == [
            ("root", 1),
            ("call", 2),
            ("placed", 3),
            ("insert", 4),
            ("publish", 4),
            ("take", 5),
            ("first", 6),
            ("second", 6),
            ("mail", 7),
            ("feed", 5),
            ("push", 6),
        ]
        lefts = trace.locator("li.span .open").evaluate_all(
            "names => names.map((name) => name.getBoundingClientRect().x)"
        )
        by_depth = sorted(zip(depths, lefts, strict=True))
        assert by_depth == sorted(by_depth, key=lambda item: item[1])
        assert len(set(lefts)) == max(depths)

    def test_bars_are_to_scale(self, trace: Page, order: Order) -> None:
        bars = {name: row(trace, order.spans[name]).locator(".bar").bounding_box() for name in ("root", "call")}

        assert bars["root"]
        assert bars["call"]
        assert bars["call"]["width"] / bars["root"]["width"] == pytest.approx(37 / 40, abs=0.02)
        assert bars["call"]["x"] > bars["root"]["x"]

    def test_wait_of_a_message_is_hatched_before_its_bar(self, trace: Page, order: Order) -> None:
        for name, label in {
            "publish": "30.0 ms in outbox",
            "feed": "42.0 ms in events:orders",
            "take": "5.00 ms in events:orders",
            "first": "15.0 ms in hopline:jobs",
            "second": "10.0 ms in hopline:jobs",
        }.items():
            item = row(trace, order.spans[name])
            expect(item.locator(".label")).to_have_text(label)
            gap = item.locator(".gap").last
            assert ends(gap) == pytest.approx(starts(item.locator(".bar")), abs=1)
            assert "repeating-linear" in gap.evaluate("gap => getComputedStyle(gap).backgroundImage")

    def test_time_until_a_job_is_due_is_shown_separately(self, trace: Page, order: Order) -> None:
        undue, waiting = row(trace, order.spans["second"]).locator(".gap").all()

        expect(undue).to_have_attribute("title", "not yet due")
        expect(waiting).to_have_attribute("title", "10.0 ms in hopline:jobs, due after 2.04 s")
        assert starts(undue) == pytest.approx(ends(row(trace, order.spans["take"]).locator(".bar")), abs=1)

    def test_other_waits_are_shown_separately(self, trace: Page, order: Order) -> None:
        push = row(trace, order.spans["push"])

        expect(push.locator(".wait")).to_have_attribute("title", "4.00 ms after its parent ended")
        expect(push.locator(".gap, .label")).to_have_count(0)
        expect(row(trace, order.spans["call"]).locator(".gap, .wait")).to_have_count(0)

    def test_idle_time_is_folded(self, trace: Page, order: Order) -> None:
        first, second = (row(trace, order.spans[name]).locator(".bar").bounding_box() for name in ("root", "second"))

        expect(trace.locator(".backdrop .fold")).to_have_count(1)
        assert first
        assert second
        assert second["width"] == pytest.approx(first["width"], rel=0.1)  # both took 40 ms

    def test_failures_and_links_are_marked(self, trace: Page, order: Order) -> None:
        expect(row(trace, order.spans["first"]).locator(".name .bad")).to_have_text("failed")
        expect(row(trace, order.spans["second"]).locator(".name .mark")).to_have_text("↪ 1 link")
        expect(trace.locator("#summary .bad")).to_have_text("1 failed")


class TestLostSpan:
    def test_inner_caller_is_lost_when_the_request_came_from_outside(
        self, page: Page, observatory: Observatory, shop: Shop
    ) -> None:
        outside = shop.service("browser").tracer.start_span("place order")
        served = shop.span("gateway", "POST /v2/orders", (0, 40), kind=SpanKind.SERVER, parent=outside)
        call = shop.service("gateway").tracer.start_span("call", context=set_span_in_context(served))
        shop.span("orders", "POST /orders", (5, 30), kind=SpanKind.SERVER, parent=call)

        page.goto(observatory.url("jaeger", f"/trace/{hex_trace(served)}"))

        lost = page.locator("li.span.lost")
        expect(lost).to_have_count(1)
        expect(lost).to_have_attribute("id", hex_span(call))

    def test_lost_span_is_shown_next_to_the_repeated_attempt(
        self, page: Page, observatory: Observatory, shop: Shop
    ) -> None:
        crash = shop.crash()
        page.goto(observatory.url("jaeger", f"/trace/{crash.trace_id}"))

        expect(page.locator("li.span")).to_have_count(len(crash.spans))
        shown = page.locator("li.span").evaluate_all("rows => rows.map((row) => row.id)")
        assert shown == [crash.spans[name] for name in ("root", "publish", "dead", "push", "again")]
        depths = [int(re.findall(r"\d+", text)[0]) for text in page.locator("li.span .name > .sr").all_text_contents()]
        assert depths == [1, 2, 3, 4, 3]
        dead = row(page, crash.spans["dead"])
        expect(dead.locator(".open")).to_have_text("notifications process")
        expect(dead.locator(".name .bad")).to_have_text("† lost with its process")
        expect(dead.locator(".bar")).to_have_count(0)
        expect(page.locator("#summary .bad")).to_have_text("1 lost")
        expect(page.locator("#summary .facts").first).to_contain_text("4 spans")
        expect(page.locator("#summary")).not_to_contain_text("null")
        dead.locator(".open").click()
        expect(dead.locator(".details")).to_contain_text("its process ended before the export")


class TestLogLines:
    def test_log_records_are_shown_below_their_span(self, trace: Page, order: Order) -> None:
        for name, lines in {
            "root": ["http_request"],
            "placed": ["order_placed"],
            "insert": [],
            "second": ["email_sent"],
        }.items():
            expect(row(trace, order.spans[name]).locator(".lines strong")).to_have_text(lines)

    def test_log_records_link_to_the_list_of_all_records_and_back(self, trace: Page, order: Order) -> None:
        row(trace, order.spans["placed"]).locator(".lines a").click()
        line = trace.locator("#log li.target")
        expect(line).to_contain_text("order_placed order_id=o-1")
        expect(trace.locator("#log li strong")).to_have_text(["order_placed", "http_request", "email_sent"])

        line.locator("a").click()

        expect(row(trace, order.spans["placed"])).to_have_class(re.compile("target"))
        expect(trace).to_have_url(re.compile(f"#{order.spans['placed']}$"))

    def test_exception_has_type_and_message_in_its_line_and_the_stack_trace_folded(
        self, page: Page, observatory: Observatory
    ) -> None:
        page.goto(observatory.url("jaeger", f"/trace/{export_exception(observatory)}"))

        text = page.locator("li.span .lines .text")
        expect(text.locator("strong")).to_have_text("order_failed")
        expect(text).to_contain_text("exception_type=ValueError")
        expect(text).to_contain_text("exception_message=invalid literal for int()")
        stack_trace = text.locator("details", has_text="exception_stacktrace").locator("pre")
        expect(stack_trace).to_be_hidden()
        text.locator("summary").click()
        expect(stack_trace).to_contain_text("Traceback (most recent call last):")

    def test_log_records_can_be_hidden(self, trace: Page) -> None:
        trace.get_by_label("log records", exact=True).uncheck()

        expect(trace.locator("li.span .lines").first).to_be_hidden()


class TestDetails:
    def test_details_open_with_attributes_and_close(self, trace: Page, order: Order) -> None:
        item = row(trace, order.spans["insert"])
        expect(item.locator("table")).to_have_count(0)

        item.get_by_role("button", name="INSERT outbox").click()

        expect(item.get_by_role("row", name="db.query.text")).to_contain_text(STATEMENT)
        expect(item.get_by_role("row", name="parent")).to_contain_text("orders POST /orders")
        item.get_by_role("button", name="INSERT outbox").click()
        expect(item.locator(".details")).to_be_hidden()

    def test_details_show_an_exception_with_its_stack(self, trace: Page, order: Order) -> None:
        item = row(trace, order.spans["first"])

        item.locator(".open").click()

        expect(item.get_by_role("heading", name="Event: exception, +85.0 ms")).to_be_visible()
        expect(item.get_by_role("row", name="exception.message")).to_contain_text("no answer")
        expect(item.get_by_role("row", name="exception.stacktrace").locator("pre")).to_contain_text("RuntimeError")

    def test_link_leads_to_the_linked_span(self, trace: Page, order: Order) -> None:
        item = row(trace, order.spans["second"])
        item.locator(".open").click()

        item.get_by_role("row", name="follows from").get_by_role("link").click()

        expect(row(trace, order.spans["first"]).locator(".details")).to_be_visible()


class TestLinks:
    def test_address_with_a_span_opens_the_span(self, page: Page, observatory: Observatory, order: Order) -> None:
        page.goto(observatory.url("jaeger", f"/trace/{order.trace_id}#{order.spans['mail']}"))

        mail = row(page, order.spans["mail"])
        expect(mail.locator(".details")).to_be_visible()
        expect(mail).to_be_in_viewport()
        expect(mail.locator(".open")).to_be_focused()

    @pytest.mark.parametrize("address", ["%", "%zz", "unknown"])
    def test_address_without_a_target_changes_nothing(
        self, page: Page, observatory: Observatory, order: Order, address: str
    ) -> None:
        page.goto(observatory.url("jaeger", f"/trace/{order.trace_id}#{address}"))

        expect(page.locator("li.span")).to_have_count(len(order.spans))
        expect(page.locator("[role=alert]")).to_have_count(0)
        expect(page.locator(".target")).to_have_count(0)

    def test_hidden_span_is_brought_into_view(self, trace: Page, order: Order) -> None:
        row(trace, order.spans["publish"]).locator(".twist").click()
        expect(row(trace, order.spans["second"])).to_be_hidden()
        strip = trace.locator(".overview").bounding_box()
        assert strip
        drag(trace, strip["x"], strip["x"] + strip["width"] / 10, strip["y"] + strip["height"] / 2)
        ticks = trace.locator(".axis .ticks")
        bar = row(trace, order.spans["second"]).locator(".bar")

        trace.evaluate(f"location.hash = '{order.spans['second']}'")

        expect(bar).to_be_visible()
        assert starts(ticks) - 1 <= starts(bar)
        assert ends(bar) <= ends(ticks) + 1

    def test_span_links_to_the_email_and_back(self, trace: Page, observatory: Observatory, order: Order) -> None:
        expect(trace.locator("#summary").get_by_role("link", name="We have your order")).to_be_visible()

        row(trace, order.spans["mail"]).get_by_role("link", name="email").click()

        expect(trace.get_by_role("heading", level=1)).to_have_text("We have your order")
        assert trace.url.startswith(observatory.url("mailpit", "/view/"))
        trace.get_by_role("link", name=order.trace_id).click()
        expect(trace).to_have_url(observatory.url("jaeger", f"/trace/{order.trace_id}"))

    def test_search_dims_other_spans_and_goes_to_matches(self, trace: Page, order: Order) -> None:
        trace.get_by_label("Find in this trace").fill("email_sent")

        expect(trace.locator(".find [role=status]")).to_have_text("1 of 11")
        expect(trace.locator("li.span:not(.dim)")).to_have_count(1)
        trace.keyboard.press("Enter")
        expect(row(trace, order.spans["second"]).locator(".details")).to_be_visible()


class TestKeys:
    def test_arrows_move_and_fold(self, trace: Page, order: Order) -> None:
        row(trace, order.spans["publish"]).locator(".open").focus()

        trace.keyboard.press("ArrowLeft")
        expect(trace.locator("li.span:visible")).to_have_count(5)
        trace.keyboard.press("ArrowUp")
        expect(row(trace, order.spans["insert"]).locator(".open")).to_be_focused()
        trace.keyboard.press("ArrowDown")
        trace.keyboard.press("ArrowRight")
        trace.keyboard.press("ArrowDown")
        expect(row(trace, order.spans["take"]).locator(".open")).to_be_focused()
        expect(trace.locator("li.span:visible")).to_have_count(len(order.spans))

    def test_plus_zooms_and_zero_shows_all(self, trace: Page, order: Order) -> None:
        bar = row(trace, order.spans["second"]).locator(".bar")
        before = bar.bounding_box()
        row(trace, order.spans["root"]).locator(".open").focus()

        trace.keyboard.press("+")
        zoomed = bar.bounding_box()
        trace.keyboard.press("0")

        assert before
        assert zoomed
        assert zoomed["width"] == pytest.approx(2 * before["width"], rel=0.05)
        assert bar.bounding_box() == before

    def test_dragging_over_the_strip_zooms(self, trace: Page) -> None:
        strip = trace.locator(".overview").bounding_box()
        assert strip

        quarter = strip["width"] / 4
        drag(trace, strip["x"] + quarter, strip["x"] + 3 * quarter, strip["y"] + strip["height"] / 2)

        zoom = float(trace.locator(".waterfall").evaluate("stage => stage.style.getPropertyValue('--zoom')"))
        assert zoom == pytest.approx(2, abs=0.05)
