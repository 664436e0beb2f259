"""The addresses of the stack."""

import pytest

from console.failures import FailedError
from console.stack import Stack


class TestStack:
    def test_offset_is_added_to_every_port(self) -> None:
        stack = Stack.from_environment({"HOPLINE_PORT_OFFSET": "100"})

        assert stack == Stack(
            gateway="http://localhost:8100",
            jaeger="http://localhost:16786",
            loki="http://localhost:3200",
            prometheus="http://localhost:9190",
            mailpit="http://localhost:8125",
        )
        assert stack.trace_page("abc") == "http://localhost:16786/trace/abc"

    def test_urls_take_precedence(self) -> None:
        stack = Stack.from_environment({"HOPLINE_PORT_OFFSET": "100", "HOPLINE_LOKI_URL": "http://logs:3100/"})

        assert stack.loki == "http://logs:3100"

    @pytest.mark.parametrize("url", ["logs:3100", "http://logs:port", "http://"])
    def test_error_names_the_variable_when_an_address_is_invalid(self, url: str) -> None:
        with pytest.raises(
            FailedError, match=rf"^HOPLINE_LOKI_URL='{url}': expected an address such as http://localhos"
        ):
            Stack.from_environment({"HOPLINE_LOKI_URL": url})
