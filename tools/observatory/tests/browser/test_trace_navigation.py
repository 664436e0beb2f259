"""Navigation on the page of one trace: addresses, links, search, keys and zoom."""

import pytest
from playwright.sync_api import Page, expect

from testkit.observatory import Observatory

from .conftest import Order
from .trace_page import drag, left_edge, right_edge, span_row

pytestmark = pytest.mark.xdist_group("browser")


def get_zoom(page: Page) -> float:
    """Return the scale of the timeline, 1 if the whole trace is visible."""
    return float(page.locator(".waterfall").evaluate("stage => stage.style.getPropertyValue('--zoom') || 1"))


class TestLinks:
    def test_address_with_a_span_opens_the_span(self, page: Page, observatory: Observatory, order: Order) -> None:
        page.goto(observatory.url("jaeger", f"/trace/{order.trace_id}#{order.spans['mail']}"))

        mail = span_row(page, order.spans["mail"])
        expect(mail.locator(".details")).to_be_visible()
        expect(mail).to_be_in_viewport()
        expect(mail.locator(".open")).to_be_focused()

    @pytest.mark.parametrize("address", ["%", "%zz", "unknown"])
    def test_page_is_shown_when_the_address_names_no_span(
        self, page: Page, observatory: Observatory, order: Order, address: str
    ) -> None:
        page.goto(observatory.url("jaeger", f"/trace/{order.trace_id}#{address}"))

        expect(page.locator("li.span")).to_have_count(len(order.spans))
        expect(page.locator("[role=alert]")).to_have_count(0)
        expect(page.locator(".target")).to_have_count(0)

    def test_folded_span_is_unfolded_and_shown_when_the_address_names_it(self, trace_page: Page, order: Order) -> None:
        span_row(trace_page, order.spans["publish"]).locator(".twist").click()
        expect(span_row(trace_page, order.spans["second"])).to_be_hidden()
        strip = trace_page.locator(".overview").bounding_box()
        assert strip
        drag(trace_page, strip["x"], strip["x"] + strip["width"] / 10, strip["y"] + strip["height"] / 2)
        ticks = trace_page.locator(".axis .ticks")
        bar = span_row(trace_page, order.spans["second"]).locator(".bar")

        trace_page.evaluate(f"location.hash = '{order.spans['second']}'")

        expect(bar).to_be_visible()
        assert left_edge(ticks) - 1 <= left_edge(bar)
        assert right_edge(bar) <= right_edge(ticks) + 1

    def test_span_links_to_the_email_and_back(self, trace_page: Page, observatory: Observatory, order: Order) -> None:
        expect(trace_page.locator("#summary").get_by_role("link", name="We have your order")).to_be_visible()

        span_row(trace_page, order.spans["mail"]).get_by_role("link", name="email").click()

        expect(trace_page.get_by_role("heading", level=1)).to_have_text("We have your order")
        assert trace_page.url.startswith(observatory.url("mailpit", "/view/"))
        trace_page.get_by_role("link", name=order.trace_id).click()
        expect(trace_page).to_have_url(observatory.url("jaeger", f"/trace/{order.trace_id}"))

    def test_search_dims_other_spans_and_enter_opens_the_match(self, trace_page: Page, order: Order) -> None:
        trace_page.get_by_label("Find in this trace").fill("email_sent")

        expect(trace_page.locator(".find [role=status]")).to_have_text("1 of 11")
        expect(trace_page.locator("li.span:not(.dim)")).to_have_count(1)
        trace_page.keyboard.press("Enter")
        expect(span_row(trace_page, order.spans["second"]).locator(".details")).to_be_visible()


class TestKeys:
    def test_arrow_keys_move_the_focus_and_fold_spans(self, trace_page: Page, order: Order) -> None:
        span_row(trace_page, order.spans["publish"]).locator(".open").focus()

        trace_page.keyboard.press("ArrowLeft")
        expect(trace_page.locator("li.span:visible")).to_have_count(5)
        trace_page.keyboard.press("ArrowUp")
        expect(span_row(trace_page, order.spans["insert"]).locator(".open")).to_be_focused()
        trace_page.keyboard.press("ArrowDown")
        trace_page.keyboard.press("ArrowRight")
        trace_page.keyboard.press("ArrowDown")
        expect(span_row(trace_page, order.spans["take"]).locator(".open")).to_be_focused()
        expect(trace_page.locator("li.span:visible")).to_have_count(len(order.spans))

    def test_plus_doubles_the_scale_and_zero_shows_the_whole_trace(self, trace_page: Page, order: Order) -> None:
        bar = span_row(trace_page, order.spans["second"]).locator(".bar")
        before = bar.bounding_box()
        span_row(trace_page, order.spans["root"]).locator(".open").focus()

        trace_page.keyboard.press("+")
        zoomed = bar.bounding_box()
        trace_page.keyboard.press("0")

        assert before
        assert zoomed
        assert zoomed["width"] == pytest.approx(2 * before["width"], rel=0.05)
        assert bar.bounding_box() == before

    def test_dragging_over_the_strip_shows_the_selected_part(self, trace_page: Page) -> None:
        strip = trace_page.locator(".overview").bounding_box()
        assert strip

        quarter = strip["width"] / 4
        drag(trace_page, strip["x"] + quarter, strip["x"] + 3 * quarter, strip["y"] + strip["height"] / 2)

        assert get_zoom(trace_page) == pytest.approx(2, abs=0.05)

    def test_zoom_does_not_change_when_the_mouse_is_pressed_outside_the_strip(self, trace_page: Page) -> None:
        strip = trace_page.locator(".overview").bounding_box()
        assert strip

        trace_page.mouse.move(strip["x"] + strip["width"] / 2, strip["y"] - 20)
        trace_page.mouse.down()
        trace_page.mouse.move(strip["x"] + strip["width"] / 2, strip["y"] + strip["height"] / 2)
        trace_page.mouse.up()

        assert get_zoom(trace_page) == 1

    def test_zoom_does_not_change_when_another_button_drags(self, trace_page: Page) -> None:
        strip = trace_page.locator(".overview").bounding_box()
        assert strip

        trace_page.mouse.move(strip["x"], strip["y"] + strip["height"] / 2)
        trace_page.mouse.down(button="right")
        trace_page.mouse.move(strip["x"] + strip["width"] / 2, strip["y"] + strip["height"] / 2)
        trace_page.mouse.up(button="right")

        assert get_zoom(trace_page) == 1
