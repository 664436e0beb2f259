"""The page of one trace: its waterfall, lost spans, log records and details."""

import re

import pytest
from opentelemetry.trace import SpanKind, set_span_in_context
from playwright.sync_api import Page, expect

from testkit.observatory import Observatory, export_exception, span_id_of, trace_id_of

from .conftest import STATEMENT, Order, Shop
from .trace_page import left_edge, right_edge, span_row

pytestmark = pytest.mark.xdist_group("browser")


class TestWaterfall:
    def test_spans_are_listed_below_their_parents_by_start(self, trace_page: Page, order: Order) -> None:
        shown = trace_page.locator("li.span").evaluate_all("rows => rows.map((row) => row.id)")
        depths = [
            int(re.findall(r"\d+", text)[0]) for text in trace_page.locator("li.span .name > .sr").all_text_contents()
        ]

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
        lefts = trace_page.locator("li.span .open").evaluate_all(
            "names => names.map((name) => name.getBoundingClientRect().x)"
        )
        by_depth = sorted(zip(depths, lefts, strict=True))
        assert by_depth == sorted(by_depth, key=lambda item: item[1])
        assert len(set(lefts)) == max(depths)

    def test_bars_are_to_scale(self, trace_page: Page, order: Order) -> None:
        bars = {
            name: span_row(trace_page, order.spans[name]).locator(".bar").bounding_box() for name in ("root", "call")
        }

        assert bars["root"]
        assert bars["call"]
        assert bars["call"]["width"] / bars["root"]["width"] == pytest.approx(37 / 40, abs=0.02)
        assert bars["call"]["x"] > bars["root"]["x"]

    def test_wait_of_a_message_is_hatched_before_its_bar(self, trace_page: Page, order: Order) -> None:
        for name, label in {
            "publish": "30.0 ms in outbox",
            "feed": "42.0 ms in events:orders",
            "take": "5.00 ms in events:orders",
            "first": "15.0 ms in hopline:jobs",
            "second": "10.0 ms in hopline:jobs",
        }.items():
            item = span_row(trace_page, order.spans[name])
            expect(item.locator(".label")).to_have_text(label)
            gap = item.locator(".gap").last
            assert right_edge(gap) == pytest.approx(left_edge(item.locator(".bar")), abs=1)
            assert "repeating-linear" in gap.evaluate("gap => getComputedStyle(gap).backgroundImage")

    def test_time_until_a_job_is_due_is_shown_separately(self, trace_page: Page, order: Order) -> None:
        undue, waiting = span_row(trace_page, order.spans["second"]).locator(".gap").all()

        expect(undue).to_have_attribute("title", "not yet due")
        expect(waiting).to_have_attribute("title", "10.0 ms in hopline:jobs, due after 2.04 s")
        assert left_edge(undue) == pytest.approx(
            right_edge(span_row(trace_page, order.spans["take"]).locator(".bar")), abs=1
        )

    def test_other_waits_are_shown_separately(self, trace_page: Page, order: Order) -> None:
        push = span_row(trace_page, order.spans["push"])

        expect(push.locator(".wait")).to_have_attribute("title", "4.00 ms after its parent ended")
        expect(push.locator(".gap, .label")).to_have_count(0)
        expect(span_row(trace_page, order.spans["call"]).locator(".gap, .wait")).to_have_count(0)

    def test_idle_time_is_folded(self, trace_page: Page, order: Order) -> None:
        first, second = (
            span_row(trace_page, order.spans[name]).locator(".bar").bounding_box() for name in ("root", "second")
        )

        expect(trace_page.locator(".backdrop .fold")).to_have_count(1)
        assert first
        assert second
        assert second["width"] == pytest.approx(first["width"], rel=0.1)  # both took 40 ms

    def test_failures_and_links_are_marked(self, trace_page: Page, order: Order) -> None:
        expect(span_row(trace_page, order.spans["first"]).locator(".name .bad")).to_have_text("failed")
        expect(span_row(trace_page, order.spans["second"]).locator(".name .mark")).to_have_text("↪ 1 link")
        expect(trace_page.locator("#summary .bad")).to_have_text("1 failed")


class TestLostSpan:
    def test_inner_caller_is_lost_when_the_request_came_from_outside(
        self, page: Page, observatory: Observatory, shop: Shop
    ) -> None:
        outside = shop.get_telemetry("browser").tracer.start_span("place order")
        served = shop.export_span("gateway", "POST /v2/orders", (0, 40), kind=SpanKind.SERVER, parent=outside)
        call = shop.get_telemetry("gateway").tracer.start_span("call", context=set_span_in_context(served))
        shop.export_span("orders", "POST /orders", (5, 30), kind=SpanKind.SERVER, parent=call)

        page.goto(observatory.url("jaeger", f"/trace/{trace_id_of(served)}"))

        lost = page.locator("li.span.lost")
        expect(lost).to_have_count(1)
        expect(lost).to_have_attribute("id", span_id_of(call))

    def test_lost_span_is_shown_next_to_the_repeated_attempt(
        self, page: Page, observatory: Observatory, shop: Shop
    ) -> None:
        crash = shop.export_crash()
        page.goto(observatory.url("jaeger", f"/trace/{crash.trace_id}"))

        expect(page.locator("li.span")).to_have_count(len(crash.spans))
        shown = page.locator("li.span").evaluate_all("rows => rows.map((row) => row.id)")
        assert shown == [crash.spans[name] for name in ("root", "publish", "dead", "push", "again")]
        depths = [int(re.findall(r"\d+", text)[0]) for text in page.locator("li.span .name > .sr").all_text_contents()]
        assert depths == [1, 2, 3, 4, 3]
        dead = span_row(page, crash.spans["dead"])
        expect(dead.locator(".open")).to_have_text("notifications process")
        expect(dead.locator(".name .bad")).to_have_text("† lost with its process")
        expect(dead.locator(".bar")).to_have_count(0)
        expect(page.locator("#summary .bad")).to_have_text("1 lost")
        expect(page.locator("#summary .facts").first).to_contain_text("4 spans")
        expect(page.locator("#summary")).not_to_contain_text("null")
        dead.locator(".open").click()
        expect(dead.locator(".details")).to_contain_text("its process ended before the export")


class TestLogLines:
    def test_log_records_are_shown_below_their_span(self, trace_page: Page, order: Order) -> None:
        for name, lines in {
            "root": ["http_request"],
            "placed": ["order_placed"],
            "insert": [],
            "second": ["email_sent"],
        }.items():
            expect(span_row(trace_page, order.spans[name]).locator(".lines strong")).to_have_text(lines)

    def test_log_records_link_to_the_list_of_all_records_and_back(self, trace_page: Page, order: Order) -> None:
        span_row(trace_page, order.spans["placed"]).locator(".lines a").click()
        line = trace_page.locator("#log li.target")
        expect(line).to_contain_text("order_placed order_id=o-1")
        expect(trace_page.locator("#log li strong")).to_have_text(["order_placed", "http_request", "email_sent"])

        line.locator("a").click()

        expect(span_row(trace_page, order.spans["placed"])).to_have_class(re.compile("target"))
        expect(trace_page).to_have_url(re.compile(f"#{order.spans['placed']}$"))

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

    def test_log_records_can_be_hidden(self, trace_page: Page) -> None:
        trace_page.get_by_label("log records", exact=True).uncheck()

        expect(trace_page.locator("li.span .lines").first).to_be_hidden()


class TestDetails:
    def test_details_open_with_attributes_and_close(self, trace_page: Page, order: Order) -> None:
        item = span_row(trace_page, order.spans["insert"])
        expect(item.locator("table")).to_have_count(0)

        item.get_by_role("button", name="INSERT outbox").click()

        expect(item.get_by_role("row", name="db.query.text")).to_contain_text(STATEMENT)
        expect(item.get_by_role("row", name="parent")).to_contain_text("orders POST /orders")
        item.get_by_role("button", name="INSERT outbox").click()
        expect(item.locator(".details")).to_be_hidden()

    def test_details_show_an_exception_with_its_stack(self, trace_page: Page, order: Order) -> None:
        item = span_row(trace_page, order.spans["first"])

        item.locator(".open").click()

        expect(item.get_by_role("heading", name="Event: exception, +85.0 ms")).to_be_visible()
        expect(item.get_by_role("row", name="exception.message")).to_contain_text("no answer")
        expect(item.get_by_role("row", name="exception.stacktrace").locator("pre")).to_contain_text("RuntimeError")

    def test_link_leads_to_the_linked_span(self, trace_page: Page, order: Order) -> None:
        item = span_row(trace_page, order.spans["second"])
        item.locator(".open").click()

        item.get_by_role("row", name="follows from").get_by_role("link").click()

        expect(span_row(trace_page, order.spans["first"]).locator(".details")).to_be_visible()
