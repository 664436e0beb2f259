"""The parts around the calls to one service, in their order."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from gateway.answers import Answer
from gateway.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable
from gateway.resilience import metrics
from gateway.resilience.breaker import Breaker, State, Verdict
from gateway.resilience.budget import RetryBudget
from gateway.resilience.bulkhead import Bulkhead
from gateway.resilience.hedge import hedged
from gateway.resilience.retry import pause_before, repeatable
from gateway.resilience.shares import Shares
from gateway.settings import ResilienceSettings
from shared.deadline import deadline_in, remaining_s
from shared.errors import Problem

FAIR_S = 0.5
"""A service that had less time than this (or half of what the call allows) is not to blame for being late: a client
with a deadline of a millisecond must not open the circuit for everybody."""

_TOO_MANY = 429
_SERVER_ERROR = 500
_UNAVAILABLE = 503
_LATE = 504

Attempt = Callable[[int], Awaitable[Answer]]
"""Asks the service once; told which attempt it is, 0 first. Raises what `gateway.clients` raises."""


class Guard:
    """Makes calls to one service, or to one expensive endpoint of it (`gateway.clients`): see `metrics.labels`."""

    name: str
    breaker: Breaker
    bulkhead: Bulkhead
    files: Bulkhead
    """Those being read: each as slow as its reader, so that they have places of their own."""
    readers: Shares
    """Of those places."""
    budget: RetryBudget

    def __init__(self, *, name: str, settings: ResilienceSettings) -> None:
        self.name = name
        self.bulkhead = Bulkhead(name=name, at_once=settings.upstream_calls_at_once)
        self.files = Bulkhead(name=name, at_once=settings.upstream_files_at_once)
        self.readers = Shares(name=name, each=settings.upstream_files_per_user)
        self.breaker = Breaker(name=name, open_s=settings.breaker_open_seconds)
        self.budget = RetryBudget(ratio=settings.retry_budget)
        self._attempts = settings.upstream_attempts
        self._hedge_after_s = settings.hedge_after_seconds

    def state(self) -> dict[str, object]:
        """What readiness tells of it."""
        return {
            "breaker": self.breaker.state,
            "calls_in_flight": self.bulkhead.inside,
            "retries_saved": round(self.budget.saved, 1),
        }

    async def call(
        self,
        method: str,
        headers: Mapping[str, str],
        attempt: Attempt,
        *,
        timeout_s: float,
        may_hedge: bool = True,
    ) -> Answer:
        """The answer to one call, after as many attempts as are safe, paid for and in time: `timeout_s` for all of it.

        What has to be closed is not to be hedged: of two answers one is dropped.
        Raises UpstreamBusy, CircuitOpen, or what the last attempt raised.
        """
        ask = partial(self._judged, attempt, min(FAIR_S, timeout_s / 2))
        if self._hedge_after_s and may_hedge and method == "GET":
            ask = partial(self._hedged, ask)
        with deadline_in(timeout_s):
            async with self.bulkhead:
                self.budget.earn()
                outcome = await self._outcome(ask, again=repeatable(method, headers))
        if isinstance(outcome, Answer):
            return outcome
        raise outcome

    async def _outcome(self, ask: Attempt, *, again: bool) -> Answer | Problem:
        number = 0
        while True:
            try:
                outcome: Answer | Problem = await ask(number)
            except Problem as problem:
                outcome = problem
            number += 1
            pause_s = self._pause(number, outcome) if again else None
            if pause_s is None:
                return outcome
            await asyncio.sleep(pause_s)

    def _pause(self, number: int, outcome: Answer | Problem) -> float | None:
        """Seconds to wait before attempt `number`, which is paid for; None: there will be none."""
        pause_s = pause_before(number, outcome)
        if pause_s is None or number >= self._attempts or self.breaker.state is not State.CLOSED:
            return None
        paid = self.budget.spend()
        metrics.retried(self.name, paid=paid)
        return pause_s if paid else None

    async def _hedged(self, ask: Attempt, number: int) -> Answer:
        return await hedged(partial(ask, number), after_s=self._hedge_after_s, may_hedge=self._may_hedge)

    def _may_hedge(self) -> bool:
        paid = self.budget.spend()
        metrics.hedged(self.name, paid=paid)
        return paid

    async def _judged(self, attempt: Attempt, fair_s: float, number: int) -> Answer:
        """One attempt that the breaker lets through and learns from."""
        era = self.breaker.admit()
        left_s = remaining_s()
        verdict = Verdict.NONE
        try:
            answer = await attempt(number)
            verdict = _verdict(answer, late=_late(left_s, fair_s))
        except UpstreamTimeout:
            verdict = _late(left_s, fair_s)
            raise
        except (UpstreamUnreachable, UpstreamBroken):
            verdict = Verdict.FAILED
            raise
        finally:
            self.breaker.settle(era, verdict)
        return answer


def _verdict(answer: Answer, *, late: Verdict) -> Verdict:
    """Return what a response says about the service. Backpressure says that it works, with as much as it can."""
    if answer.status == _LATE:
        return late
    if answer.status == _TOO_MANY or (answer.status == _UNAVAILABLE and "Retry-After" in answer.headers):
        return Verdict.NONE
    return Verdict.WELL if answer.status < _SERVER_ERROR else Verdict.FAILED


def _late(left_s: float | None, fair_s: float) -> Verdict:
    return Verdict.FAILED if left_s is None or left_s >= fair_s else Verdict.NONE
