"""A simulation of the delivery cursor under loss, repetition, reordering, new subscriptions and reconnects.

One test removes each of two mechanisms and expects the simulation to fail. That shows that the simulation finds errors.
"""

from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from notifications.realtime.delivery_cursor import WINDOW, DeliveryCursor
from notifications.realtime.history import PAGE


class DeliveryMachine(RuleBasedStateMachine):
    """One user's feed, a channel that loses, repeats and reorders, and a device that reconnects with its cursor."""

    cursor_type = DeliveryCursor
    heads_are_compared = True

    def __init__(self) -> None:
        super().__init__()
        self.head = 0
        self.received = 0  # by the device, over all its connections
        self.in_flight: list[int] = []
        self.queue: list[int] = []  # written after the running pull
        self.page: Iterator[int] | None = None  # the remaining rows of the running pull
        self.cursor = self.cursor_type()
        self.welcomed = False
        self.welcome_head = 0  # read after the subscription; notifications may be added before the welcome

    # the feed grows
    @rule(published=st.booleans())
    def commit(self, published: bool) -> None:
        self.head += 1
        if published:
            self.in_flight.append(self.head)

    @rule(count=st.sampled_from([2, PAGE, WINDOW - 1, WINDOW, WINDOW + 1]))
    def commit_many_unpublished(self, count: int) -> None:
        self.head += count

    # the channel
    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), repeated=st.booleans())
    def deliver_any(self, data: st.DataObject, repeated: bool) -> None:
        seq = data.draw(st.sampled_from(self.in_flight))
        if not repeated:
            self.in_flight.remove(seq)
        if self.cursor.accept_live(seq):
            self.queue.append(seq)

    @precondition(lambda self: self.queue and self.page is None)
    @rule()
    def write_queue(self) -> None:
        for seq in self.queue:
            self.deliver_to_device(seq)
        self.queue.clear()

    @precondition(lambda self: self.in_flight)
    @rule()
    def lose_everything_in_flight(self) -> None:
        self.in_flight.clear()

    # the heartbeat, also after a new subscription
    @precondition(lambda self: self.welcomed)
    @rule()
    def compare_heads(self) -> None:
        if self.heads_are_compared:
            self.cursor.update_head(self.head)

    # pulling
    @precondition(lambda self: self.welcomed and self.page is None and not self.queue and self.cursor.is_behind)
    @rule(gap=st.none() | st.integers(1, PAGE))
    def begin_pull(self, gap: int | None) -> None:
        """Read one page. The row with the index `gap` is missing, because the cache may have gaps."""
        first = self.cursor.begin_pull() + 1
        rows = range(first, min(first + PAGE, self.head + 1))
        self.page = iter([seq for seq in rows if seq - first != gap])

    @precondition(lambda self: self.page is not None)
    @rule(rows=st.integers(1, PAGE), fails=st.booleans())
    def take_rows(self, rows: int, fails: bool) -> None:
        assert self.page is not None
        for _ in range(rows):
            seq = next(self.page, None)
            if seq is None:
                break
            if self.cursor.accept_pulled(seq):
                self.deliver_to_device(seq)
        if seq is None or fails:
            self.page = None
            self.cursor.end_pull()

    # the device
    @rule()
    def reconnect(self) -> None:
        self.cursor = self.cursor_type()
        self.page = None
        self.queue.clear()
        self.welcomed = False
        self.welcome_head = self.head

    @precondition(lambda self: not self.welcomed)
    @rule()
    def welcome(self) -> None:
        missed = self.welcome_head - self.received
        recovered = self.cursor.welcome(cursor=self.received, head=self.welcome_head)
        assert recovered == (missed <= WINDOW), "gap or repeat"
        if not recovered:
            self.received = self.welcome_head  # the device pages over REST
        self.welcomed = True

    def deliver_to_device(self, seq: int) -> None:
        assert seq == self.received + 1, f"gap or repeat: {seq} after {self.received}"
        self.received = seq

    def teardown(self) -> None:
        """Send one more heartbeat, and pull until the device has all notifications."""
        if not self.welcomed:
            self.welcome()
        while self.page is not None:
            self.take_rows(PAGE, fails=False)
        self.write_queue()
        self.compare_heads()
        while self.cursor.is_behind:
            self.begin_pull(gap=None)
            while self.page is not None:
                self.take_rows(PAGE, fails=False)
        assert self.received == self.head, f"the device has received {self.received} of {self.head}"


class CursorWithoutContiguity(DeliveryCursor):
    """Sends every notification that is newer than the last one."""

    def _advance(self, seq: int) -> bool:
        is_newer = seq > self.sent
        self.sent = max(self.sent, seq)
        return is_newer


class WithoutContiguity(DeliveryMachine):
    cursor_type = CursorWithoutContiguity


class WithoutHeartbeat(DeliveryMachine):
    heads_are_compared = False


class TestDeliveryCursor:
    def test_device_receives_every_notification_once_in_order(self) -> None:
        run_state_machine_as_test(DeliveryMachine, settings=settings(max_examples=100, deadline=None))

    @pytest.mark.parametrize("machine", [WithoutContiguity, WithoutHeartbeat])
    def test_simulation_fails_when_a_mechanism_is_removed(self, machine: type[DeliveryMachine]) -> None:
        exploration = settings(
            max_examples=300,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
        )
        with pytest.raises(AssertionError, match=r"gap or repeat|has received"):
            run_state_machine_as_test(machine, settings=exploration)

    def test_live_message_is_left_to_the_pull_when_one_is_running(self) -> None:
        cursor = DeliveryCursor()
        cursor.welcome(cursor=0, head=2)
        cursor.begin_pull()
        assert cursor.accept_pulled(1)  # is being written
        assert not cursor.accept_live(2)  # the pull sends it
        assert cursor.accept_pulled(2)
        assert cursor.end_pull()
        assert cursor.accept_live(3)

    def test_welcome_does_not_recover_when_the_cursor_is_beyond_the_feed(self) -> None:
        cursor = DeliveryCursor()
        assert not cursor.welcome(cursor=48, head=47)
        assert cursor.accept_live(48)

    def test_pull_is_not_repeated_until_the_next_head_when_it_returned_nothing(self) -> None:
        cursor = DeliveryCursor()
        cursor.welcome(cursor=0, head=3)
        cursor.begin_pull()
        assert not cursor.end_pull()
        assert not cursor.is_behind
        cursor.update_head(3)
        assert cursor.is_behind
