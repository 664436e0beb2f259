"""The circuit opens for a failing service only, admits one probe, and closes again."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from services.gateway.tests.fakes import FakeClock

from gateway.errors import CircuitOpenError
from gateway.resilience.breaker import CircuitBreaker, Outcome, State

OPEN_S = 5.0
WINDOW_S = 10.0
MIN_CALLS = 10
MAX_CALLS = 20


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> CircuitBreaker:
    """Return a breaker that opens if half of the calls failed."""
    return CircuitBreaker(
        name="orders",
        open_s=OPEN_S,
        window_s=WINDOW_S,
        min_calls=MIN_CALLS,
        max_calls=MAX_CALLS,
        failure_ratio=0.5,
        clock=clock,
    )


def state(breaker: CircuitBreaker) -> State:
    """Return the state. After `assert breaker.state is …`, mypy would assume that the attribute never changes."""
    return breaker.state


def call(breaker: CircuitBreaker, outcome: Outcome, times: int = 1) -> None:
    """Make calls with this outcome, one after the other."""
    for _ in range(times):
        breaker.record(breaker.admit(), outcome)


class TestClosed:
    def test_circuit_opens_when_half_of_the_calls_failed(self, breaker: CircuitBreaker) -> None:
        call(breaker, Outcome.SUCCESS, MIN_CALLS // 2)
        call(breaker, Outcome.FAILURE, MIN_CALLS // 2 - 1)
        assert state(breaker) is State.CLOSED
        call(breaker, Outcome.FAILURE)
        assert state(breaker) is State.OPEN

    def test_circuit_stays_closed_when_there_are_too_few_calls(self, breaker: CircuitBreaker) -> None:
        call(breaker, Outcome.FAILURE, MIN_CALLS - 1)
        assert state(breaker) is State.CLOSED

    def test_circuit_stays_closed_when_a_minority_failed(self, breaker: CircuitBreaker) -> None:
        for _ in range(50):
            call(breaker, Outcome.SUCCESS, 2)
            call(breaker, Outcome.FAILURE)
        assert state(breaker) is State.CLOSED

    def test_circuit_stays_closed_when_failures_are_old(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        call(breaker, Outcome.FAILURE, MIN_CALLS - 1)
        clock.now += WINDOW_S + 0.1
        call(breaker, Outcome.FAILURE, MIN_CALLS - 1)
        assert state(breaker) is State.CLOSED

    def test_circuit_opens_when_half_of_the_last_calls_failed_after_many_successes(
        self, breaker: CircuitBreaker
    ) -> None:
        call(breaker, Outcome.SUCCESS, 1_000)
        call(breaker, Outcome.FAILURE, MAX_CALLS // 2)
        assert state(breaker) is State.OPEN

    def test_circuit_stays_closed_when_outcomes_are_ignored(self, breaker: CircuitBreaker) -> None:
        call(breaker, Outcome.IGNORED, 1_000)
        assert state(breaker) is State.CLOSED


class TestOpen:
    @pytest.fixture(autouse=True)
    def open_circuit(self, breaker: CircuitBreaker) -> None:
        call(breaker, Outcome.FAILURE, MIN_CALLS)

    def test_calls_are_rejected_with_retry_after_when_the_circuit_is_open(
        self, breaker: CircuitBreaker, clock: FakeClock
    ) -> None:
        clock.now += OPEN_S - 3.5
        with pytest.raises(CircuitOpenError) as rejected:
            breaker.admit()
        assert rejected.value.headers == {"Retry-After": "4"}, "the remaining 3.5 s, rounded up"

    def test_one_probe_is_admitted_when_the_open_time_is_over(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        clock.now += OPEN_S
        breaker.admit()
        assert state(breaker) is State.HALF_OPEN
        for _ in range(100):
            with pytest.raises(CircuitOpenError):
                breaker.admit()

    def test_circuit_closes_and_ignores_earlier_failures_when_the_probe_succeeds(
        self, breaker: CircuitBreaker, clock: FakeClock
    ) -> None:
        clock.now += OPEN_S
        call(breaker, Outcome.SUCCESS)
        call(breaker, Outcome.FAILURE, MIN_CALLS - 1)
        assert state(breaker) is State.CLOSED

    def test_circuit_opens_again_when_the_probe_fails(self, breaker: CircuitBreaker, clock: FakeClock) -> None:
        clock.now += OPEN_S
        call(breaker, Outcome.FAILURE)
        clock.now += OPEN_S - 0.1
        with pytest.raises(CircuitOpenError):
            breaker.admit()
        clock.now += 0.1
        breaker.admit()

    def test_next_call_is_the_probe_when_the_outcome_of_the_probe_is_ignored(
        self, breaker: CircuitBreaker, clock: FakeClock
    ) -> None:
        clock.now += OPEN_S
        call(breaker, Outcome.IGNORED)
        assert state(breaker) is State.HALF_OPEN
        call(breaker, Outcome.SUCCESS)
        assert state(breaker) is State.CLOSED


class TestGenerations:
    def test_outcome_is_ignored_when_the_call_was_admitted_in_an_earlier_generation(
        self, breaker: CircuitBreaker, clock: FakeClock
    ) -> None:
        fast, slow, slowest = ([breaker.admit() for _ in range(MIN_CALLS)] for _ in range(3))
        for generation in fast:
            breaker.record(generation, Outcome.FAILURE)
        assert state(breaker) is State.OPEN
        clock.now += OPEN_S
        probe = breaker.admit()
        for generation in slow:
            breaker.record(generation, Outcome.SUCCESS)
        assert state(breaker) is State.HALF_OPEN
        breaker.record(probe, Outcome.SUCCESS)
        for generation in slowest:
            breaker.record(generation, Outcome.FAILURE)
        assert state(breaker) is State.CLOSED


class BreakerMachine(RuleBasedStateMachine):
    """Runs calls, outcomes and pauses in any order. `running` and `probes` have the generations of admitted calls."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.breaker = CircuitBreaker(name="orders", open_s=OPEN_S, min_calls=3, max_calls=6, clock=self.clock)
        self.running: list[int] = []
        self.probes: list[int] = []
        self.opened_at = 0.0
        self.outcomes = Counter[Outcome]()

    @rule()
    def admit_a_call(self) -> None:
        before = self.breaker.state
        try:
            generation = self.breaker.admit()
        except CircuitOpenError:
            assert before is not State.CLOSED
            assert self.probes or self.clock.now < self.opened_at + OPEN_S
            return
        if before is State.CLOSED:
            self.running.append(generation)
        else:
            assert self.clock.now >= self.opened_at + OPEN_S
            self.probes.append(generation)

    @rule(outcome=st.sampled_from(Outcome), index=st.integers(0, 100))
    @precondition(lambda self: self.running)
    def end_a_call(self, outcome: Outcome, index: int) -> None:
        before = self.breaker.state
        self.breaker.record(self.running.pop(index % len(self.running)), outcome)
        if self.breaker.state is not before:
            assert (before, self.breaker.state) == (State.CLOSED, State.OPEN)
            assert outcome is Outcome.FAILURE
            self.opened_at = self.clock.now

    @rule(outcome=st.sampled_from(Outcome))
    @precondition(lambda self: self.probes)
    def end_the_probe(self, outcome: Outcome) -> None:
        self.breaker.record(self.probes.pop(), outcome)
        expected = {Outcome.SUCCESS: State.CLOSED, Outcome.FAILURE: State.OPEN, Outcome.IGNORED: State.HALF_OPEN}
        assert self.breaker.state is expected[outcome]
        if outcome is Outcome.FAILURE:
            self.opened_at = self.clock.now

    @rule(seconds=st.floats(0, 12))
    def advance_the_clock(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def there_is_one_probe_at_most(self) -> None:
        assert len(self.probes) <= 1
        if self.probes:
            assert self.breaker.state is State.HALF_OPEN


BreakerMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestAnyInterleaving = BreakerMachine.TestCase
