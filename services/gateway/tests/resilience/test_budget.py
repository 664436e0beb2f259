"""Retries are at most a fraction of calls plus the reserve."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.resilience.budget import RESERVE_S, RetryBudget

ROUNDING = 1e-6


class TestRetryBudget:
    def test_budget_is_empty_at_the_start_when_it_has_no_reserve(self) -> None:
        assert not RetryBudget(ratio=0.2).withdraw()

    def test_reserve_is_full_at_the_start_and_grows_with_time(self) -> None:
        now = 0.0
        seconds_per_retry = 5.0
        assert RESERVE_S / seconds_per_retry == 2, "the reserve holds two retries"
        budget = RetryBudget(ratio=0, per_s=1 / seconds_per_retry, clock=lambda: now)
        assert [budget.withdraw() for _ in range(3)] == [True, True, False]
        now = seconds_per_retry - 0.1
        assert not budget.withdraw()
        now = seconds_per_retry
        assert [budget.withdraw(), budget.withdraw()] == [True, False]
        now = 3600.0
        assert [budget.withdraw() for _ in range(3)] == [True, True, False]

    def test_time_adds_one_retry_when_the_rate_is_lower_than_one_in_ten_seconds(self) -> None:
        now = 0.0
        budget = RetryBudget(ratio=0, per_s=0.05, clock=lambda: now)
        now = 9.0
        assert not budget.withdraw()
        now = 10.0
        assert [budget.withdraw(), budget.withdraw()] == [True, False]
        now = 3600.0
        assert [budget.withdraw(), budget.withdraw()] == [True, False]

    def test_time_adds_nothing_when_the_balance_exceeds_the_reserve(self) -> None:
        now = 0.0
        budget = RetryBudget(ratio=1, per_s=1 / RESERVE_S, clock=lambda: now)
        assert budget.balance == 1, "the reserve"
        budget.deposit()
        now = 3600.0
        assert budget.balance == 2

    def test_five_calls_allow_one_retry_at_a_ratio_of_a_fifth(self) -> None:
        budget = RetryBudget(ratio=0.2)
        for _ in range(5):
            budget.deposit()
        assert [budget.withdraw(), budget.withdraw()] == [True, False]

    def test_ten_calls_allow_one_retry_at_a_ratio_of_a_tenth(self) -> None:
        """As floating-point numbers, ten tenths add up to less than 1."""
        budget = RetryBudget(ratio=0.1)
        for _ in range(10):
            budget.deposit()
        assert budget.withdraw()

    def test_balance_is_limited_when_many_calls_were_made(self) -> None:
        budget = RetryBudget(ratio=0.2, max_balance=3)
        for _ in range(1_000):
            budget.deposit()
        assert [budget.withdraw() for _ in range(5)] == [True, True, True, False, False]

    @given(
        ratio=st.floats(0, 1),
        per_s=st.floats(0, 5) | st.just(0.0),
        max_balance=st.floats(0, 50),
        calls=st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=300),
    )
    def test_number_of_retries_never_exceeds_the_ratio_plus_the_reserve(
        self, ratio: float, per_s: float, max_balance: float, calls: list[tuple[bool, float]]
    ) -> None:
        now = 0.0
        budget = RetryBudget(ratio=ratio, per_s=per_s, max_balance=max_balance, clock=lambda: now)
        retries = 0
        for number_of_calls, (is_failed, pause_s) in enumerate(calls, 1):
            now += pause_s
            budget.deposit()
            retries += is_failed and budget.withdraw()
            assert retries <= ratio * number_of_calls + per_s * (now + RESERVE_S) + ROUNDING
            assert 0 <= budget.balance <= max_balance
