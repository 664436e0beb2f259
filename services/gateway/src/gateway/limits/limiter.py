"""The rate limiter counts in Redis, or in this process for a while after Redis failed.

If Redis rejects the command because of a bug, such as WRONGTYPE, limits are local as well, so that the API stays
available, and the failure is logged as an error. Errors that do not come from Redis propagate.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from opentelemetry import metrics

from gateway.limits.buckets import LocalBuckets, SharedBuckets, TakeResult
from gateway.limits.quota import Hit, RateLimitStatus, get_rate_limit_status
from gateway.settings import Settings
from shared.db.redis import create_redis
from shared.errors.stores import REDIS_ERRORS, log_store_failure

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 1.0
"""Time for which Redis is not called after it failed, so that at most one request per second waits for its timeout."""

_AVAILABLE = float("-inf")

_rejections = metrics.get_meter(__name__).create_counter(
    "hopline.gateway.rate_limited", unit="{request}", description="Requests rejected by a rate limit, by quota"
)


class Limiter:
    """Counts requests. If Redis has not counted a request after `timeout_s` seconds, this process counts it.

    Redis is not called for `retry_after_s` seconds after it failed.
    """

    def __init__(
        self, *, shared: SharedBuckets, local: LocalBuckets, timeout_s: float, retry_after_s: float = RETRY_AFTER_S
    ) -> None:
        self._shared = shared
        self._local = local
        self._timeout_s = timeout_s
        self._retry_after_s = retry_after_s
        self._unavailable_until = _AVAILABLE

    async def hit(self, hits: Sequence[Hit]) -> RateLimitStatus:
        """Count all `hits` (at least one), or none if one of the buckets is full."""
        granted, held = await self._take(hits)
        status = get_rate_limit_status(hits, held, granted=granted)
        if not granted:
            _rejections.add(1, {"hopline.quota": status.quota.name})
            log.info("rate_limited", quota=status.quota.name, retry_after_s=status.retry_after_s)
        return status

    async def _take(self, hits: Sequence[Hit]) -> TakeResult:
        now = time.monotonic()
        if now >= self._unavailable_until:
            is_probe = self._unavailable_until > _AVAILABLE
            if is_probe:  # other requests count locally until the probe has ended
                self._unavailable_until = now + self._retry_after_s
            try:
                async with asyncio.timeout(self._timeout_s):
                    result = await self._shared.take(hits)
            except REDIS_ERRORS as error:
                self._unavailable_until = time.monotonic() + self._retry_after_s
                log_store_failure(log, "rate_limits_are_local", error)
            else:
                if is_probe:
                    self._unavailable_until = _AVAILABLE
                return result
        return self._local.take(hits)


@asynccontextmanager
async def open_limiter(settings: Settings, *, retry_after_s: float = RETRY_AFTER_S) -> AsyncIterator[Limiter]:
    """Open a limiter with separate connections. They do not retry, because waiting costs more than counting locally."""
    redis = create_redis(settings.redis_url, response_timeout_s=settings.rate_limit_timeout_seconds, retries=0)
    try:
        yield Limiter(
            shared=SharedBuckets(redis=redis),
            local=LocalBuckets(clock=time.monotonic),
            timeout_s=settings.rate_limit_timeout_seconds,
            retry_after_s=retry_after_s,
        )
    finally:
        await redis.aclose()
