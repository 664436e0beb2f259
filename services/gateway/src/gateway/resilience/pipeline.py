"""The resilience pipeline of one service: limits, circuit breaker, hedging and retries around each call."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

from gateway.errors import UpstreamBrokenError, UpstreamTimeoutError, UpstreamUnreachableError
from gateway.resilience import metrics
from gateway.resilience.breaker import CircuitBreaker, Outcome, State
from gateway.resilience.budget import RetryBudget
from gateway.resilience.bulkhead import Bulkhead
from gateway.resilience.hedge import call_with_hedge
from gateway.resilience.retry import get_retry_delay_s
from gateway.resilience.user_limit import UserLimit
from gateway.responses import UpstreamResponse
from gateway.server_timing import record_call
from gateway.settings import ResilienceSettings
from shared.context import Deadline, remaining_s
from shared.errors.problems import ProblemError

MIN_TIME_S = 0.5
"""A timeout counts as a failure only if the service had at least this time, or half of the call's timeout if that is
less. Otherwise a client with a deadline of a millisecond could open the circuit for all clients."""

Attempt = Callable[[int], Awaitable[UpstreamResponse]]
"""A function that sends the request once. Its argument is the number of the attempt, from 0. It raises the errors of
`gateway.clients`."""


class ResiliencePipeline:
    """Makes the calls to one service, or to one of its expensive endpoints (`name`: see `metrics.get_attributes`).

    Downloads have a separate bulkhead, because each takes as long as its client reads, and a limit per user.
    """

    def __init__(self, *, name: str, settings: ResilienceSettings) -> None:
        self.name = name
        self._service = name.partition(" ")[0]
        self.bulkhead = Bulkhead(name=name, max_concurrent=settings.max_concurrent_calls)
        self.downloads = Bulkhead(name=name, max_concurrent=settings.max_concurrent_downloads)
        self.downloads_per_user = UserLimit(name=name, max_per_user=settings.max_concurrent_downloads_per_user)
        self.breaker = CircuitBreaker(name=name, open_s=settings.breaker_open_seconds)
        self.budget = RetryBudget(ratio=settings.retry_budget, per_s=settings.retries_per_second)
        self._max_attempts = settings.upstream_attempts
        self._hedge_after_s = settings.hedge_after_seconds

    def state(self) -> dict[str, object]:
        """Return the state, for readiness."""
        return {
            "breaker": self.breaker.state,
            "calls_in_flight": self.bulkhead.in_flight,
            "retries_saved": round(self.budget.balance, 1),
        }

    async def call(self, attempt: Attempt, *, timeout_s: float, repeatable: bool, may_hedge: bool) -> UpstreamResponse:
        """Return the response to one call. All attempts together have `timeout_s` seconds.

        If the request is `repeatable`, a failed attempt is followed by another one within the retry budget. `may_hedge`
        requires a read whose response need not be closed, because hedging drops one of two responses.

        Raises:
            UpstreamBusyError: Too many calls are in flight or waiting.
            CircuitOpenError: The service has been failing.
            ProblemError: The error of the last attempt.
        """
        send = partial(self._attempt, attempt, min(MIN_TIME_S, timeout_s / 2))
        if self._hedge_after_s and may_hedge:
            send = partial(self._hedged_attempt, send)
        number = 0
        started = time.perf_counter()
        try:
            with Deadline(timeout_s):
                async with self.bulkhead:
                    self.budget.deposit()
                    while True:
                        try:
                            result: UpstreamResponse | ProblemError = await send(number)
                        except ProblemError as problem:
                            result = problem
                        number += 1
                        delay_s = self._take_retry(number, result) if repeatable else None
                        if delay_s is None:
                            break
                        await asyncio.sleep(delay_s)
        finally:
            record_call(self._service, time.perf_counter() - started, attempts=number)
        if isinstance(result, UpstreamResponse):
            return result
        raise result

    def _take_retry(self, number: int, result: UpstreamResponse | ProblemError) -> float | None:
        """Withdraw a retry from the budget and return the seconds to wait before it; None if there is no other attempt.

        `number` attempts were made, the last one with `result`.
        """
        delay_s = get_retry_delay_s(number, result)
        if delay_s is None or number >= self._max_attempts or self.breaker.state is not State.CLOSED:
            return None
        allowed = self.budget.withdraw()
        metrics.record_retry(self.name, allowed=allowed)
        return delay_s if allowed else None

    async def _hedged_attempt(self, send: Attempt, number: int) -> UpstreamResponse:
        return await call_with_hedge(partial(send, number), after_s=self._hedge_after_s, may_hedge=self._may_hedge)

    def _may_hedge(self) -> bool:
        allowed = self.budget.withdraw()
        metrics.record_hedge(self.name, allowed=allowed)
        return allowed

    async def _attempt(self, attempt: Attempt, min_time_s: float, number: int) -> UpstreamResponse:
        """Make one attempt and record its outcome with the breaker."""
        generation = self.breaker.admit()
        left_s = remaining_s()
        timeout_outcome = Outcome.FAILURE if left_s is None or left_s >= min_time_s else Outcome.IGNORED
        outcome = Outcome.IGNORED
        try:
            response = await attempt(number)
            outcome = _outcome_of(response, timeout_outcome=timeout_outcome)
        except UpstreamTimeoutError:
            outcome = timeout_outcome
            raise
        except (UpstreamUnreachableError, UpstreamBrokenError):
            outcome = Outcome.FAILURE
            raise
        finally:
            self.breaker.record(generation, outcome)
        return response


def _outcome_of(response: UpstreamResponse, *, timeout_outcome: Outcome) -> Outcome:
    """Return the outcome of an attempt with a response.

    Backpressure (429, or 503 with `Retry-After`) is ignored, because the service works, at the limit of its capacity.
    """
    status = response.status
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        return timeout_outcome
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and "Retry-After" in response.headers
    ):
        return Outcome.IGNORED
    return Outcome.SUCCESS if status < HTTPStatus.INTERNAL_SERVER_ERROR else Outcome.FAILURE
