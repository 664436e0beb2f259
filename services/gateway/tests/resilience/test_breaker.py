"""The circuit opens for a failing service only, lets one probe through, and closes again."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import CircuitOpen
from gateway.resilience.breaker import Breaker, State, Verdict

OPEN_S = 5.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(name="orders", open_s=OPEN_S, window_s=10, fewest=10, most=20, tolerance=0.5, clock=clock)


def state(breaker: Breaker) -> State:
    return breaker.state


def call(breaker: Breaker, verdict: Verdict, times: int = 1) -> None:
    for _ in range(times):
        breaker.settle(breaker.admit(), verdict)


class TestClosed:
    def test_it_opens_where_half_of_enough_calls_failed(self, breaker: Breaker) -> None:
        call(breaker, Verdict.WELL, 5)
        call(breaker, Verdict.FAILED, 4)
        assert state(breaker) is State.CLOSED
        call(breaker, Verdict.FAILED)
        assert state(breaker) is State.OPEN

    def test_a_few_failures_are_not_enough(self, breaker: Breaker) -> None:
        call(breaker, Verdict.FAILED, 9)
        assert state(breaker) is State.CLOSED

    def test_a_minority_of_failures_is_borne(self, breaker: Breaker) -> None:
        for _ in range(50):
            call(breaker, Verdict.WELL, 2)
            call(breaker, Verdict.FAILED)
        assert state(breaker) is State.CLOSED

    def test_old_failures_are_forgotten(self, breaker: Breaker, clock: Clock) -> None:
        call(breaker, Verdict.FAILED, 9)
        clock.now += 10.1
        call(breaker, Verdict.FAILED, 9)
        assert state(breaker) is State.CLOSED

    def test_many_old_successes_hide_nothing(self, breaker: Breaker) -> None:
        call(breaker, Verdict.WELL, 1_000)
        call(breaker, Verdict.FAILED, 10)
        assert state(breaker) is State.OPEN

    def test_a_cancelled_call_says_nothing(self, breaker: Breaker) -> None:
        call(breaker, Verdict.NONE, 1_000)
        assert state(breaker) is State.CLOSED


class TestOpen:
    @pytest.fixture(autouse=True)
    def opened(self, breaker: Breaker) -> None:
        call(breaker, Verdict.FAILED, 10)

    def test_nobody_gets_through_and_everybody_is_told_when_to_come_back(self, breaker: Breaker, clock: Clock) -> None:
        clock.now += 1.5
        with pytest.raises(CircuitOpen) as refused:
            breaker.admit()
        assert refused.value.headers == {"Retry-After": "4"}

    def test_one_probe_gets_through_after_a_while(self, breaker: Breaker, clock: Clock) -> None:
        clock.now += OPEN_S
        breaker.admit()
        assert state(breaker) is State.HALF_OPEN
        for _ in range(100):
            with pytest.raises(CircuitOpen):
                breaker.admit()

    def test_a_good_probe_closes_it_and_the_past_is_forgotten(self, breaker: Breaker, clock: Clock) -> None:
        clock.now += OPEN_S
        call(breaker, Verdict.WELL)
        call(breaker, Verdict.FAILED, 9)
        assert state(breaker) is State.CLOSED

    def test_a_failed_probe_opens_it_for_as_long_again(self, breaker: Breaker, clock: Clock) -> None:
        clock.now += OPEN_S
        call(breaker, Verdict.FAILED)
        clock.now += OPEN_S - 0.1
        with pytest.raises(CircuitOpen):
            breaker.admit()
        clock.now += 0.1
        breaker.admit()

    def test_after_a_cancelled_probe_the_next_call_is_the_probe(self, breaker: Breaker, clock: Clock) -> None:
        clock.now += OPEN_S
        call(breaker, Verdict.NONE)
        assert state(breaker) is State.HALF_OPEN
        call(breaker, Verdict.WELL)
        assert state(breaker) is State.CLOSED

    def test_who_was_admitted_before_has_no_say(self, clock: Clock) -> None:
        breaker = Breaker(name="orders", open_s=OPEN_S, clock=clock)
        before = [breaker.admit() for _ in range(30)]
        for era in before[:10]:
            breaker.settle(era, Verdict.FAILED)
        clock.now += OPEN_S
        probe = breaker.admit()
        for era in before[10:20]:
            breaker.settle(era, Verdict.WELL)
        assert state(breaker) is State.HALF_OPEN
        breaker.settle(probe, Verdict.WELL)
        for era in before[20:]:
            breaker.settle(era, Verdict.FAILED)
        assert state(breaker) is State.CLOSED


class BreakerMachine(RuleBasedStateMachine):
    """Any interleaving of calls, whatever becomes of them, as time goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(name="orders", open_s=OPEN_S, fewest=3, most=6, clock=self.clock)
        self.running: list[int] = []
        self.probes: list[int] = []
        self.opened_at = 0.0
        self.told = Counter[Verdict]()

    @rule()
    def ask(self) -> None:
        before = self.breaker.state
        try:
            era = self.breaker.admit()
        except CircuitOpen:
            assert before is not State.CLOSED
            assert self.probes or self.clock.now < self.opened_at + OPEN_S
            return
        if before is State.CLOSED:
            self.running.append(era)
        else:
            assert self.clock.now >= self.opened_at + OPEN_S
            self.probes.append(era)

    @rule(verdict=st.sampled_from(Verdict), which=st.integers(0, 100))
    @precondition(lambda self: self.running)
    def end_a_call(self, verdict: Verdict, which: int) -> None:
        before = self.breaker.state
        self.breaker.settle(self.running.pop(which % len(self.running)), verdict)
        if self.breaker.state is not before:
            assert (before, self.breaker.state) == (State.CLOSED, State.OPEN)
            assert verdict is Verdict.FAILED
            self.opened_at = self.clock.now

    @rule(verdict=st.sampled_from(Verdict))
    @precondition(lambda self: self.probes)
    def end_the_probe(self, verdict: Verdict) -> None:
        self.breaker.settle(self.probes.pop(), verdict)
        expected = {Verdict.WELL: State.CLOSED, Verdict.FAILED: State.OPEN, Verdict.NONE: State.HALF_OPEN}
        assert self.breaker.state is expected[verdict]
        if verdict is Verdict.FAILED:
            self.opened_at = self.clock.now

    @rule(seconds=st.floats(0, 12))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def there_is_one_probe_at_most(self) -> None:
        assert len(self.probes) <= 1
        if self.probes:
            assert self.breaker.state is State.HALF_OPEN


BreakerMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestAnyInterleaving = BreakerMachine.TestCase
