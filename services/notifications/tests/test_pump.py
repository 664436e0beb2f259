"""The pump under loss, repetition, reordering, resubscriptions and reconnects, in every order hypothesis thinks of.

Two tests take a mechanism away and expect the same simulation to fail: it would otherwise prove nothing.
"""

from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from notifications.realtime.pump import WINDOW, Pump

PAGE = 100


class Delivery(RuleBasedStateMachine):
    """One user's feed, a channel that loses, repeats and reorders, and a device that comes back with its cursor."""

    pump_type = Pump
    heads_are_compared = True

    def __init__(self) -> None:
        super().__init__()
        self.head = 0
        self.seen = 0  # by the device, over all its connections
        self.in_flight: list[int] = []
        self.queue: list[int] = []  # to be written when no pull is being written
        self.page: Iterator[int] | None = None
        self.pump = self.pump_type()
        self.welcomed = False
        self.head_read = 0

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
        if self.pump.live(seq):
            self.queue.append(seq)

    @precondition(lambda self: self.queue and self.page is None)
    @rule()
    def write_queue(self) -> None:
        for seq in self.queue:
            self.device_gets(seq)
        self.queue.clear()

    @precondition(lambda self: self.in_flight)
    @rule()
    def lose_everything_in_flight(self) -> None:
        self.in_flight.clear()

    # the heartbeat; a resubscription leads to it as well
    @precondition(lambda self: self.welcomed)
    @rule()
    def compare_heads(self) -> None:
        if self.heads_are_compared:
            self.pump.heard(self.head)

    # pulling
    @precondition(lambda self: self.welcomed and self.page is None and not self.queue and self.pump.behind)
    @rule(hole=st.none() | st.integers(1, PAGE))
    def begin_pull(self, hole: int | None) -> None:
        first = self.pump.begin_pull() + 1
        rows = range(first, min(first + PAGE, self.head + 1))
        self.page = iter([seq for seq in rows if seq - first != hole])  # the cache may have holes

    @precondition(lambda self: self.page is not None)
    @rule(rows=st.integers(1, PAGE), fails=st.booleans())
    def take_rows(self, rows: int, fails: bool) -> None:
        assert self.page is not None
        for _ in range(rows):
            seq = next(self.page, None)
            if seq is None:
                break
            if self.pump.pulled(seq):
                self.device_gets(seq)
        if seq is None or fails:
            self.page = None
            self.pump.end_pull()

    # the device
    @rule()
    def reconnect(self) -> None:
        self.pump = self.pump_type()
        self.page = None
        self.queue.clear()
        self.welcomed = False
        self.head_read = self.head  # read after the subscription; commits may happen before the welcome

    @precondition(lambda self: not self.welcomed)
    @rule()
    def welcome(self) -> None:
        missed = self.head_read - self.seen
        recovered = self.pump.welcome(cursor=self.seen, head=self.head_read)
        assert recovered == (missed <= WINDOW), "gap or repeat"
        if not recovered:
            self.seen = self.head_read  # the device pages over REST
        self.welcomed = True

    def device_gets(self, seq: int) -> None:
        assert seq == self.seen + 1, f"gap or repeat: {seq} after {self.seen}"
        self.seen = seq

    def teardown(self) -> None:
        """Quiet: nothing in flight, one more heartbeat, and pulls until nothing is missing."""
        if not self.welcomed:
            self.welcome()
        while self.page is not None:
            self.take_rows(PAGE, fails=False)
        self.write_queue()
        self.compare_heads()
        while self.pump.behind:
            self.begin_pull(hole=None)
            while self.page is not None:
                self.take_rows(PAGE, fails=False)
        assert self.seen == self.head, f"the device has seen {self.seen} of {self.head}"


class WithoutContiguity(Delivery):
    class pump_type(Pump):  # noqa: N801 - takes the place of the attribute
        def _follows(self, seq: int) -> bool:
            self.sent, newer = max(self.sent, seq), seq > self.sent
            return newer


class WithoutHeartbeat(Delivery):
    heads_are_compared = False


class TestPump:
    def test_device_sees_everything_in_order_once(self) -> None:
        run_state_machine_as_test(Delivery, settings=settings(max_examples=100, deadline=None))

    @pytest.mark.parametrize("broken", [WithoutContiguity, WithoutHeartbeat])
    def test_each_mechanism_is_needed(self, broken: type[Delivery]) -> None:
        exploration = settings(
            max_examples=300,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            report_multiple_bugs=False,
        )
        with pytest.raises(AssertionError, match=r"gap or repeat|has seen"):
            run_state_machine_as_test(broken, settings=exploration)

    def test_live_messages_do_not_overtake_a_pull(self) -> None:
        pump = Pump()
        pump.welcome(cursor=0, head=2)
        pump.begin_pull()
        assert pump.pulled(1)  # being written
        assert not pump.live(2)  # would be written by somebody else
        assert pump.pulled(2)
        assert pump.end_pull()
        assert pump.live(3)

    def test_a_cursor_beyond_the_feed_is_not_recovered(self) -> None:
        pump = Pump()
        assert not pump.welcome(cursor=48, head=47)
        assert pump.live(48)

    def test_a_fruitless_pull_waits_for_the_next_head(self) -> None:
        pump = Pump()
        pump.welcome(cursor=0, head=3)
        pump.begin_pull()
        assert not pump.end_pull()
        assert not pump.behind
        pump.heard(3)
        assert pump.behind
