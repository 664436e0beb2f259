"""Retries are a share of calls, whatever fails."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.resilience.budget import RetryBudget


class TestRetryBudget:
    def test_nothing_is_saved_at_the_start(self) -> None:
        assert not RetryBudget(ratio=0.2).spend()

    def test_five_calls_pay_for_one_retry_of_a_fifth(self) -> None:
        budget = RetryBudget(ratio=0.2)
        for _ in range(5):
            budget.earn()
        assert [budget.spend(), budget.spend()] == [True, False]

    def test_tenths_add_up(self) -> None:
        budget = RetryBudget(ratio=0.1)
        for _ in range(10):
            budget.earn()
        assert budget.spend()

    def test_a_long_healthy_time_buys_no_storm(self) -> None:
        budget = RetryBudget(ratio=0.2, most=3)
        for _ in range(1_000):
            budget.earn()
        assert [budget.spend() for _ in range(5)] == [True, True, True, False, False]

    @given(ratio=st.floats(0, 1), most=st.floats(0, 50), calls=st.lists(st.booleans(), max_size=300))
    def test_at_any_moment_attempts_are_at_most_their_share(self, ratio: float, most: float, calls: list[bool]) -> None:
        budget = RetryBudget(ratio=ratio, most=most)
        retries = 0
        for made, asks_to_retry in enumerate(calls, 1):
            budget.earn()
            retries += asks_to_retry and budget.spend()
            assert retries <= ratio * made + 1e-6
            assert 0 <= budget.saved <= most
