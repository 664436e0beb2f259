"""Cursors of pages, which clients can change."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors.problems import BadRequestError
from shared.web.pagination import decode_cursor, encode_cursor


class TestCursor:
    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
    def test_decoded_cursor_is_the_key_that_was_encoded(self, key: list[str]) -> None:
        assert decode_cursor(encode_cursor(*key), parts=len(key)) == key

    @given(st.text(max_size=60))
    def test_any_text_is_a_valid_cursor_or_a_bad_request(self, cursor: str) -> None:
        with contextlib.suppress(BadRequestError):
            assert len(decode_cursor(cursor, parts=2)) == 2

    def test_cursor_is_rejected_when_it_has_another_number_of_parts(self) -> None:
        with pytest.raises(BadRequestError) as rejected:
            decode_cursor(encode_cursor("a"), parts=2)
        assert rejected.value.errors[0].field == "cursor"
