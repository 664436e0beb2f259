"""What is tried again, and when."""

import pytest
from starlette.datastructures import Headers

from gateway.answers import Answer
from gateway.errors import CircuitOpen, UpstreamBroken, UpstreamBusy, UpstreamTimeout, UpstreamUnreachable
from gateway.resilience.retry import FIRST_PAUSE_S, LONGEST_PAUSE_S, pause_before, repeatable
from shared.deadline import deadline_in
from shared.errors import DeadlineSpent, Problem


def answer(status: int, **headers: str) -> Answer:
    named = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return Answer(path="/orders", status=status, headers=named, body=b"")


class TestWhatIsSafe:
    @pytest.mark.parametrize(
        ("method", "safe"), [("GET", True), ("HEAD", True), ("PUT", True), ("DELETE", True), ("PATCH", False)]
    )
    def test_is_told_by_the_method(self, method: str, *, safe: bool) -> None:
        assert repeatable(method, {}) is safe
        assert repeatable(method, {"idempotency-key": "k"}) is safe

    def test_a_post_is_safe_with_a_key_only(self) -> None:
        assert not repeatable("POST", {"content-type": "application/json"})
        assert repeatable("POST", {"idempotency-key": "k"})


class TestOutcomes:
    @pytest.mark.parametrize("status", [502, 503])
    def test_what_passes_is_tried_again(self, status: int) -> None:
        assert pause_before(1, answer(status)) is not None

    @pytest.mark.parametrize("status", [200, 201, 304, 400, 404, 409, 422, 429, 500, 504])
    def test_what_another_attempt_would_not_change_is_left(self, status: int) -> None:
        assert pause_before(1, answer(status)) is None
        assert pause_before(1, answer(status, retry_after="0")) is None

    @pytest.mark.parametrize("failure", [UpstreamUnreachable(), UpstreamBroken()])
    def test_a_lost_connection_is_tried_again(self, failure: Problem) -> None:
        assert pause_before(1, failure) is not None

    @pytest.mark.parametrize("failure", [UpstreamTimeout(), CircuitOpen(), UpstreamBusy(), DeadlineSpent()])
    def test_what_has_no_time_or_was_never_asked_is_left(self, failure: Problem) -> None:
        assert pause_before(1, failure) is None


class TestPause:
    def test_it_doubles_up_to_a_limit_and_is_never_the_same(self) -> None:
        for attempt, longest in ((1, FIRST_PAUSE_S), (2, FIRST_PAUSE_S * 2), (20, LONGEST_PAUSE_S)):
            pauses = {pause_before(attempt, UpstreamBroken()) or 0 for _ in range(50)}
            assert all(longest / 2 <= pause <= longest for pause in pauses)
            assert len(pauses) > 1

    def test_it_is_at_least_what_the_service_asks_for(self) -> None:
        assert (pause_before(1, answer(503, retry_after="2")) or 0) > 2

    @pytest.mark.parametrize("given", ["Wed, 25 Nov 2026 20:00:00 GMT", "soon", "-1", "1.5"])
    def test_a_service_that_names_no_seconds_is_left(self, given: str) -> None:
        with deadline_in(60):
            assert pause_before(1, answer(503, retry_after=given)) is None

    def test_there_is_none_where_the_deadline_comes_first(self) -> None:
        with deadline_in(60):
            assert pause_before(1, answer(503, retry_after="20")) is not None
            assert pause_before(1, answer(503, retry_after="100")) is None
