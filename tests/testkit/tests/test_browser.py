"""A test of a page fails if the page violates a rule. Without a browser, the test is skipped, or fails in CI."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext

from testkit.browser import clean_page, running_chromium


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with running_chromium() as context:
        yield context


class TestMissingChromium:
    def test_test_fails_when_chromium_is_missing_in_ci(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("CI", "true")

        with pytest.raises(pytest.fail.Exception, match="apt install chromium-headless-shell"), running_chromium():
            pass

    def test_test_is_skipped_when_chromium_is_missing_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("CI", raising=False)

        with pytest.raises(pytest.skip.Exception, match="apt install chromium-headless-shell"), running_chromium():
            pass


class TestCleanPage:
    @pytest.mark.parametrize(
        ("event", "script", "violation"),
        [
            ("console", "console.warn('old')", "console warning: old"),
            ("console", "console.error('wrong')", "console error: wrong"),
            ("pageerror", "setTimeout(() => { throw new Error('lost') })", "exception: lost"),
            ("request", "void fetch('http://shop.invalid/').catch(() => 0)", "request to another machine: http://shop"),
        ],
    )
    def test_violation_is_found(self, context: BrowserContext, event: str, script: str, violation: str) -> None:
        with (
            pytest.raises(AssertionError, match=violation),
            clean_page(context) as page,
            page.expect_event(event),
        ):
            page.evaluate(script)

    def test_page_is_closed_when_its_test_fails(self, context: BrowserContext) -> None:
        with pytest.raises(ValueError, match="of the test"), clean_page(context):
            raise ValueError("of the test")
        assert context.pages == []
