"""The browser, where there is none."""

import pytest

from testkit.browser import running_chromium


class TestNoChromium:
    def test_is_a_failure_in_ci(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("CI", "true")

        with pytest.raises(pytest.fail.Exception, match="apt install chromium"), running_chromium():
            pass

    def test_is_said_elsewhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("CI", raising=False)

        with pytest.raises(pytest.skip.Exception, match="apt install chromium"), running_chromium():
            pass
