"""The pages with hostile names, large and deep traces, evicted items, a narrow window, and both colour schemes."""

import secrets
import time

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanKind
from playwright.sync_api import BrowserContext, Page, expect

from testkit.observatory import Observatory, span_id_of, trace_id_of

from .conftest import MILLISECOND_NS, Order, Shop

pytestmark = pytest.mark.xdist_group("browser")

HOSTILE = "</script><img src=x onerror=\"window.ran=1\"><svg onload='window.ran=1'><script>window.ran=1</script>"
SPAN_COUNT = 1_000
CHAIN_LENGTH = 30_000
COUNT_LAID_OUT_NAMES = """[...document.querySelectorAll("li.span .open")]
    .filter((name) => name.checkVisibility({ contentVisibilityAuto: true })).length"""
MIN_CONTRAST = 4.5  # of text, WCAG 2.2 success criterion 1.4.3


@pytest.fixture(scope="module")
def large_trace_id(observatory: Observatory) -> str:
    """Export a trace of SPAN_COUNT spans, and return its id. Each span is a child of the tenth span before it."""
    trace_id, ids = secrets.token_bytes(16), [secrets.token_bytes(8) for _ in range(SPAN_COUNT)]
    export = ExportTraceServiceRequest()
    resource = export.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "orders"
    spans = resource.scope_spans.add().spans
    start_ns = time.time_ns()
    for index, span_id in enumerate(ids):
        spans.add(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=ids[index - 10] if index >= 10 else b"",
            name=f"step {index}",
            start_time_unix_nano=start_ns + index * MILLISECOND_NS,
            end_time_unix_nano=start_ns + (index + 5) * MILLISECOND_NS,
        )
    httpx.post(
        observatory.url("otlp", "/v1/traces"),
        content=export.SerializeToString(),
        headers={"Content-Type": "application/x-protobuf"},
    ).raise_for_status()
    return trace_id.hex()


class TestHostileNames:
    def test_hostile_names_are_shown_as_text_on_every_page(
        self, page: Page, observatory: Observatory, shop: Shop
    ) -> None:
        named = {"messaging.destination.name": HOSTILE, "db.collection.name": HOSTILE, HOSTILE: HOSTILE}
        span = shop.export_span(HOSTILE, HOSTILE, (0, 1), kind=SpanKind.CONSUMER, failure=HOSTILE, attributes=named)
        shop.export_span(HOSTILE, HOSTILE, (2, 3), kind=SpanKind.PRODUCER, parent=span, links=(span,), attributes=named)
        shop.export_log(HOSTILE, span, 0.5, HOSTILE, **{HOSTILE: HOSTILE})
        shop.send_email(span, "<1@example.org>", HOSTILE)

        for path in ("/search", "/map", f"/trace/{trace_id_of(span)}#{span_id_of(span)}"):
            page.goto(observatory.url("jaeger", path))
            expect(page.locator("main .service").first).to_be_visible()
        expect(page.locator("h1")).to_have_text(f"{HOSTILE} {HOSTILE}")
        expect(page.locator("li.span .lines strong")).to_have_text(HOSTILE)
        expect(page.locator(".details table").first).to_be_visible()
        page.get_by_role("link", name=HOSTILE).last.click()
        expect(page.locator("h1")).to_have_text(HOSTILE)

        assert page.evaluate("window.ran") is None
        assert page.locator("main img, main script").count() == 0


class TestLargeTrace:
    def test_only_visible_spans_are_laid_out(self, page: Page, observatory: Observatory, large_trace_id: str) -> None:
        page.goto(observatory.url("jaeger", f"/trace/{large_trace_id}"))

        rows = page.locator("li.span")
        expect(rows).to_have_count(SPAN_COUNT)
        assert page.locator("li.span table").count() == 0
        laid_out = page.evaluate(COUNT_LAID_OUT_NAMES)
        assert 0 < laid_out < SPAN_COUNT / 4
        rows.last.locator(".open").focus()
        expect(rows.last).to_be_in_viewport()


class TestDeepTrace:
    def test_spans_are_folded_and_unfolded_when_they_are_deeper_than_the_call_stack(
        self, page: Page, observatory: Observatory
    ) -> None:
        page.goto(observatory.url("jaeger", "/search"))

        nodes = page.evaluate(
            """async (length) => {
                const { tree } = await import("/assets/tree.js");
                const { unfold } = await import("/assets/waterfall.js");
                const spans = Array.from({ length }, (_, index) => ({
                    id: `s${index}`, parentId: index ? `s${index - 1}` : "", start: index, end: index + 1,
                    service: "a", operation: "b", about: "", kind: "", lost: false, tags: new Map(), links: [],
                }));
                const nodes = tree(spans);
                for (const { id } of spans) {
                    const item = document.body.appendChild(document.createElement("li"));
                    item.id = id;
                    item.innerHTML = '<button class="twist" aria-expanded="true"></button>';
                }
                unfold(nodes[0], false);
                const hidden = spans.filter(({ id }) => document.getElementById(id).hidden).length;
                unfold(nodes[0], true);
                const hiddenAgain = spans.filter(({ id }) => document.getElementById(id).hidden).length;
                return { length: nodes.length, depth: nodes.at(-1).depth, hidden, hiddenAgain };
            }""",
            CHAIN_LENGTH,
        )

        assert nodes == {
            "length": CHAIN_LENGTH,
            "depth": CHAIN_LENGTH - 1,
            "hidden": CHAIN_LENGTH - 1,
            "hiddenAgain": 0,
        }


class TestManyEmails:
    def test_mailbox_reports_how_many_emails_it_does_not_show(self, page: Page, observatory: Observatory) -> None:
        observatory.send_email(*[b"To: many@example.org\r\n\r\n"] * 101)

        page.goto(observatory.url("mailpit", "/?query=to:many@example.org"))

        expect(page.locator("#mails li")).to_have_count(100)
        expect(page.locator("#mails")).to_contain_text("The newest 100 of 101 emails. Search to find the others.")


class TestEvictedItem:
    @pytest.mark.parametrize(
        ("backend", "path", "what"), [("jaeger", f"/trace/{'a' * 32}", "trace"), ("mailpit", "/view/gone", "email")]
    )
    def test_page_reports_that_the_item_does_not_exist(
        self, browser: BrowserContext, observatory: Observatory, backend: str, path: str, what: str
    ) -> None:
        opened = browser.new_page()  # not `page`: the browser's console reports the 404
        opened.goto(observatory.url(backend, path))

        expect(opened.get_by_role("alert")).to_contain_text(f"there is no such {what}: ")
        expect(opened.get_by_role("alert")).to_contain_text("was evicted")
        opened.close()


class TestAppearance:
    @pytest.mark.parametrize("path", ["/search", "/map", "/trace/{}"])
    def test_pages_fit_the_width_of_a_phone(
        self, page: Page, observatory: Observatory, order: Order, path: str
    ) -> None:
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(observatory.url("jaeger", path.format(order.trace_id)))
        expect(page.locator("main .service").first).to_be_visible()

        assert page.evaluate("document.documentElement.scrollWidth") <= 360

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_text_has_enough_contrast(self, page: Page, observatory: Observatory, order: Order, scheme: str) -> None:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(observatory.url("jaeger", f"/trace/{order.trace_id}"))
        expect(page.locator("li.span")).to_have_count(len(order.spans))

        low = page.evaluate(
            """(least) => {
                const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
                const luminance = (colour) => {
                    canvas.fillStyle = colour;
                    canvas.fillRect(0, 0, 1, 1);
                    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255)
                        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
                    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
                };
                const value = (name, within = document.body) => {
                    const probe = within.appendChild(document.createElement("i"));
                    probe.style.color = name;
                    const colour = getComputedStyle(probe).color;
                    probe.remove();
                    return luminance(colour);
                };
                const hues = Array.from({ length: 8 }, (_, place) => {
                    const item = document.body.appendChild(document.createElement("b"));
                    item.className = `s${place}`;
                    return [`s${place}`, value("var(--hue)", item)];
                });
                const inks = ["ink", "quiet", "accent", "bad"].map((name) => [name, value(`var(--${name})`)]);
                const label = document.querySelector(".label");
                const texts = [...inks, ...hues, ["label", luminance(getComputedStyle(label).color)]];
                return ["paper", "raised"].flatMap((paper) => texts.map(([name, light]) => {
                    const [high, low] = [light, value(`var(--${paper})`)].sort((a, b) => b - a);
                    return [name, paper, (high + 0.05) / (low + 0.05)];
                })).filter(([, , contrast]) => contrast < least);
            }""",
            MIN_CONTRAST,
        )

        assert low == []
