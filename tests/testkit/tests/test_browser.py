"""Tests of pages without a browser are skipped, and fail in CI."""

import pytest

from testkit.browser import running_chromium


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
