import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadRequest
from shared.pages import decode_cursor, encode_cursor


class TestCursor:
    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3))
    def test_round_trips_any_key(self, key: list[str]) -> None:
        assert decode_cursor(encode_cursor(*key), parts=len(key)) == key

    @given(st.text(max_size=60))
    def test_anything_else_is_a_bad_request_never_a_crash(self, cursor: str) -> None:
        with contextlib.suppress(BadRequest):
            assert len(decode_cursor(cursor, parts=2)) == 2

    def test_a_cursor_of_another_list_is_refused(self) -> None:
        with pytest.raises(BadRequest) as refused:
            decode_cursor(encode_cursor("a"), parts=2)
        assert refused.value.errors[0].field == "cursor"
