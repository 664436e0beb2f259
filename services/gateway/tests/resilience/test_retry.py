"""The conditions and delays of retries."""

import pytest
from starlette.datastructures import Headers

from gateway.errors import (
    CircuitOpenError,
    UpstreamBrokenError,
    UpstreamBusyError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from gateway.resilience.retry import FIRST_DELAY_S, MAX_DELAY_S, get_retry_delay_s, is_repeatable
from gateway.responses import UpstreamResponse
from shared.context import Deadline
from shared.errors.problems import DeadlineExceededError, ProblemError


def response(status: int, *, retry_after: str | None = None) -> UpstreamResponse:
    headers = Headers({} if retry_after is None else {"Retry-After": retry_after})
    return UpstreamResponse(path="/orders", status=status, headers=headers, body=b"")


class TestRepeatableRequests:
    @pytest.mark.parametrize(
        ("method", "repeatable"), [("GET", True), ("HEAD", True), ("PUT", True), ("DELETE", True), ("PATCH", False)]
    )
    def test_method_decides_whether_a_request_is_repeatable(self, method: str, *, repeatable: bool) -> None:
        assert is_repeatable(method, "/orders", {}) is repeatable
        assert is_repeatable(method, "/orders", {"idempotency-key": "k"}) is repeatable

    def test_post_is_repeatable_only_when_it_has_an_idempotency_key(self) -> None:
        assert not is_repeatable("POST", "/orders", {"content-type": "application/json"})
        assert is_repeatable("POST", "/orders", {"idempotency-key": "k"})


class TestRetriedOutcomes:
    @pytest.mark.parametrize("status", [502, 503])
    def test_transient_status_is_retried(self, status: int) -> None:
        assert get_retry_delay_s(1, response(status)) is not None

    @pytest.mark.parametrize("status", [200, 201, 304, 400, 404, 409, 422, 429, 500, 504])
    def test_other_status_is_not_retried(self, status: int) -> None:
        assert get_retry_delay_s(1, response(status)) is None
        assert get_retry_delay_s(1, response(status, retry_after="0")) is None

    @pytest.mark.parametrize("failure", [UpstreamUnreachableError(), UpstreamBrokenError()])
    def test_connection_failure_is_retried(self, failure: ProblemError) -> None:
        assert get_retry_delay_s(1, failure) is not None

    @pytest.mark.parametrize(
        "failure", [UpstreamTimeoutError(), CircuitOpenError(), UpstreamBusyError(), DeadlineExceededError()]
    )
    def test_timeout_or_rejection_is_not_retried(self, failure: ProblemError) -> None:
        assert get_retry_delay_s(1, failure) is None


class TestRetryDelay:
    def test_delay_doubles_up_to_a_limit_with_jitter(self) -> None:
        for attempt, max_delay_s in ((1, FIRST_DELAY_S), (2, FIRST_DELAY_S * 2), (20, MAX_DELAY_S)):
            delays = {get_retry_delay_s(attempt, UpstreamBrokenError()) or 0 for _ in range(50)}
            assert all(max_delay_s / 2 <= delay <= max_delay_s for delay in delays)
            assert len(delays) > 1

    def test_delay_is_at_least_retry_after(self) -> None:
        assert (get_retry_delay_s(1, response(503, retry_after="2")) or 0) > 2

    @pytest.mark.parametrize("retry_after", ["Wed, 25 Nov 2026 20:00:00 GMT", "soon", "-1", "1.5"])
    def test_call_is_not_retried_when_retry_after_is_not_in_whole_seconds(self, retry_after: str) -> None:
        with Deadline(60):
            assert get_retry_delay_s(1, response(503, retry_after=retry_after)) is None

    def test_call_is_not_retried_when_retry_after_exceeds_the_deadline(self) -> None:
        with Deadline(60):
            assert get_retry_delay_s(1, response(503, retry_after="20")) is not None
            assert get_retry_delay_s(1, response(503, retry_after="100")) is None
