"""The state of one WebSocket: frames, and the position in a feed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopline_client.realtime import Feed, Frame

from .scripts import item, notification


@pytest.mark.parametrize("text", ["[]", '""', '[["t", "n"], ["seq", 1]]', "1", "null"])
def test_message_is_rejected_when_it_is_not_a_json_object(text: str) -> None:
    with pytest.raises(TypeError, match="not a JSON object"):
        Frame.parse(text)


@given(st.data())
def test_feed_accepts_every_notification_once_in_order(data: st.DataObject) -> None:
    """Frames are lost, repeated and reordered in any way, and the history is available."""
    head, feed, accepted = 0, Feed(), list[int]()
    for number in data.draw(st.lists(st.integers(1, 40), max_size=30)):
        head = max(head, number)
        frame = Frame(notification(number))
        if until := feed.handle(frame).read_until:
            while feed.cursor < until:
                page: Any = [item(number) for number in range(feed.cursor + 1, min(feed.cursor + 4, head + 1))]
                accepted += [frame["seq"] for frame in feed.handle_history(page, until=until)]
            assert feed.handle(frame).is_new
            accepted.append(number)
        elif number == len(accepted) + 1:
            accepted.append(number)
    assert accepted == list(range(1, head + 1))
    assert feed.cursor == head
