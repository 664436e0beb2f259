"""Charging a request: in Redis, or in this process for a while after Redis did not answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from opentelemetry import metrics

from gateway.limits.buckets import LocalBuckets, SharedBuckets, Taken
from gateway.limits.quota import Charge, Verdict, verdict
from gateway.settings import Settings
from shared.redis import redis_client
from shared.store_errors import REDIS_ERRORS

log = structlog.get_logger(__name__)

PAUSE_S = 1.0
"""How long Redis is left alone after it failed: an outage costs one request a second its patience, not each."""

_WELL = float("-inf")

_refused = metrics.get_meter(__name__).create_counter(
    "hopline.gateway.rate_limited", unit="{request}", description="Requests refused by a rate limit, by its name."
)


class Limiter:
    """Charges requests; `patience_s` is how long Redis may take for one."""

    def __init__(self, *, shared: SharedBuckets, local: LocalBuckets, patience_s: float) -> None:
        self._shared = shared
        self._local = local
        self._patience_s = patience_s
        self._away_until = _WELL

    async def charge(self, charges: Sequence[Charge]) -> Verdict:
        """Charge all of `charges` (at least one), or none where one of the buckets is full."""
        granted, held = await self._take(charges)
        judged = verdict(charges, held, granted=granted)
        if not granted:
            _refused.add(1, {"hopline.quota": judged.quota.name})
            log.info("rate_limited", quota=judged.quota.name, retry_after_s=judged.retry_after_s)
        return judged

    async def _take(self, charges: Sequence[Charge]) -> Taken:
        now = time.monotonic()
        if now >= self._away_until:
            finds_out = self._away_until > _WELL  # whether Redis is back; the others need not wait with this one
            if finds_out:
                self._away_until = now + PAUSE_S
            try:
                async with asyncio.timeout(self._patience_s):
                    taken = await self._shared.take(charges)
            except REDIS_ERRORS as error:
                self._away_until = time.monotonic() + PAUSE_S
                log.warning("rate_limits_are_local", error=f"{type(error).__name__}: {error}")
            else:
                if finds_out:
                    self._away_until = _WELL
                return taken
        return self._local.take(charges)


@asynccontextmanager
async def open_limiter(settings: Settings) -> AsyncIterator[Limiter]:
    """A limiter over connections of its own, which do not retry: waiting would cost more than counting locally."""
    redis = redis_client(settings.redis_url, answer_timeout_s=settings.rate_limit_patience_seconds, retries=0)
    try:
        yield Limiter(
            shared=SharedBuckets(redis),
            local=LocalBuckets(clock=time.monotonic),
            patience_s=settings.rate_limit_patience_seconds,
        )
    finally:
        await redis.aclose()
