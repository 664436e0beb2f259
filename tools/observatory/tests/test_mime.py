"""Emails of any content are read in linear time and without an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observatory import mime


class TestTime:
    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("opening", ["<style>", "<!--", "<"])
    def test_snippet_is_read_in_linear_time_when_a_tag_is_not_closed(self, opening: str) -> None:
        assert mime.snippet(mime.Bodies("", "hello " + opening * 500_000)) == "hello"

    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("value", ["(" * 200_000, "=?utf-8?q?a?= " * 200_000], ids=["comments", "encoded words"])
    def test_long_header_is_read_in_linear_time(self, value: str) -> None:
        message = mime.parse(f"To: {value}\r\n\r\n".encode())
        assert isinstance(mime.addresses(message, "To"), list)
        assert mime.header(message, "To")


class TestAnyContent:
    @given(
        st.sampled_from(["Subject", "From", "To", "Date", "Content-Type", "Content-Disposition"]),
        st.binary(max_size=60),
        st.binary(max_size=60),
    )
    def test_text_is_encodable_for_any_bytes(self, name: str, value: bytes, body: bytes) -> None:
        message = mime.parse(name.encode() + b": " + value + b"\r\n\r\n" + body)

        texts = [mime.header(message, name), *mime.bodies(message), str(mime.headers(message))]

        assert "".join(texts).encode()
        assert isinstance(mime.attachments(message), list)
        assert isinstance(mime.addresses(message, name), list)
