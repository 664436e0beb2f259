"""ARQ's connections to Redis: `EnqueueRedis` adds jobs, `JobRedis` is the documented `redis_pool` of a worker.

ARQ reads its queue at a fixed interval, and ends the process if a read fails. `JobRedis` changes two things:

- ARQ calls `zrangebyscore` in each interval. It returns immediately if a job can start. Otherwise it waits until the
  dispatcher adds a wake-up, the next job is due, or `WAIT_S` is over.
- Every command is repeated while Redis is unavailable or rejects commands (out of memory, read-only, loading). The
  retries of redis-py do not cover a connection that fails during its handshake, a WATCH that is lost with its
  connection, and a rejected command. ARQ does not handle these errors.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from time import time
from typing import Any, TypeVar

import orjson
import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from redis.asyncio.client import Pipeline
from redis.exceptions import ReadOnlyError, WatchError

from shared.db.redis import RedisPool
from shared.errors.stores import REDIS_ERRORS, store_is_unavailable

log = structlog.get_logger(__name__)

MAX_WAKE_UPS = 10
"""Maximum number of unused wake-ups. Each causes one unnecessary read of the queue when a worker becomes idle."""

WAIT_S = 4
"""Longest wait for a wake-up, in seconds. An idle worker reads the queue at this interval."""
RETRY_PAUSE_S = 0.25
MAX_RETRY_PAUSE_S = 1.0
"""Bounds in seconds of the pause between two attempts of a command. The pause doubles after each attempt."""
CONNECT_TIMEOUT_S = 2.0
# Python 3.11: redis-py's `socket_timeout` sends through `asyncio.wait_for`, which can swallow a cancellation
# (python/cpython#81839, fixed in 3.12), and ARQ cancels its main task only once. Therefore `asyncio.timeout` limits
# each attempt to this number of seconds.
RESPONSE_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0

T = TypeVar("T")


def wake_up_key(queue_name: str) -> str:
    """Return the key of the list of wake-ups. Each element is the ARQ id of a job and wakes one worker of the queue."""
    return f"{queue_name}:wake-up"


def serialize(entry: dict[str, Any]) -> bytes:
    """Encode an entry as JSON, with exceptions as text. ARQ uses pickle by default, which can run code from Redis."""
    return orjson.dumps(entry, default=str)


def deserialize(entry: bytes) -> dict[str, Any]:
    """Decode an entry.

    Raises:
        ValueError: The entry is not JSON.
    """
    found: dict[str, Any] = orjson.loads(entry)
    return found


class EnqueuePipeline(Pipeline):
    """A pipeline that adds the wake-up in the transaction that adds a job, which saves a round trip."""

    def zadd(self, name: str, mapping: Mapping[str, Any], **options: Any) -> Any:  # type: ignore[override]
        """Add entries to the queue, and wake a waiting worker for each entry, also if its job is due later."""
        super().zadd(name, mapping, **options)
        return self.wake_workers(name, mapping)

    def wake_workers(self, queue_name: str, arq_ids: Iterable[str]) -> Any:
        """Wake a waiting worker for each of these entries."""
        self.rpush(wake_up_key(queue_name), *arq_ids)
        return self.ltrim(wake_up_key(queue_name), 0, MAX_WAKE_UPS - 1)


class EnqueueRedis(ArqRedis):
    """ARQ's client for `enqueue_job`, which wakes a worker that waits in `JobRedis`."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> EnqueuePipeline:
        """Return the pipeline in which `enqueue_job` adds a job."""
        return EnqueuePipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class OutageRetry:
    """Repeats commands until Redis serves them. A client and its pipelines share one, so that an outage is logged once.

    Each attempt has a timeout of `response_timeout_s` seconds. The first pause takes `retry_pause_s` seconds.
    """

    def __init__(self, *, response_timeout_s: float, retry_pause_s: float) -> None:
        self._response_timeout_s = response_timeout_s
        self._retry_pause_s = retry_pause_s
        self._is_away = False

    async def run(self, command: Callable[[], Awaitable[T]]) -> T:
        """Call `command` until Redis serves it.

        Raises:
            RedisError: The command itself is wrong, or a WATCH failed (WatchError).
        """
        pause_s = self._retry_pause_s
        while True:
            try:
                async with asyncio.timeout(self._response_timeout_s):
                    result = await command()
            except REDIS_ERRORS as error:
                if not store_is_unavailable(error):
                    raise
                self._record_failure(error)
            else:
                if self._is_away:
                    log.info("redis_back")
                self._is_away = False
                return result
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_RETRY_PAUSE_S)

    def _record_failure(self, error: Exception) -> None:
        if not self._is_away:
            log.warning("redis_away", error=f"{type(error).__name__}: {error}")
        self._is_away = True


class JobPipeline(Pipeline):
    """A pipeline that repeats its commands during an outage.

    A lost WATCH raises WatchError at `execute`, because ARQ handles the error there.
    """

    def __init__(self, *args: Any, retry: OutageRetry) -> None:
        super().__init__(*args)
        self._retry = retry
        self._watch_lost = False

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute WATCH, or a read after it."""
        execute: Callable[..., Awaitable[Any]] = super().immediate_execute_command
        watching = self.watching

        async def attempt() -> Any:
            try:
                return await execute(*args, **options)
            except BaseException:  # includes the cancellation by the timeout
                self._watch_lost = self._watch_lost or watching
                raise

        try:
            return await self._retry.run(attempt)
        except WatchError:
            result = await self._retry.run(attempt)
            self.watching = True  # so that further reads are executed immediately
            return result

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute the queued commands. Raises WatchError if the WATCH was lost, and other errors as redis-py does."""
        execute = super().execute
        commands, explicit, watching = list(self.command_stack), self.explicit_transaction, self.watching

        async def attempt() -> list[Any]:
            if self._watch_lost:
                await self.aclose()
                raise WatchError("The connection was lost while watching")
            self._watch_lost = watching  # unless this attempt succeeds
            self.command_stack, self.explicit_transaction = list(commands), explicit  # a failed attempt empties them
            return await execute(raise_on_error)

        return await self._retry.run(attempt)

    async def reset(self) -> None:
        """Release the connection. If its UNWATCH is cancelled or fails, the connection is closed."""
        try:
            await super().reset()  # type: ignore[no-untyped-call]
        finally:
            if self.connection is not None:
                connection, self.connection, self.watching = self.connection, None, False
                await connection.disconnect(nowait=True)
                await self.connection_pool.release(connection)


class JobRedis(ArqRedis):
    """The `redis_pool` of a worker that reads `queue_name`.

    All times are in seconds. `wait_s` is the longest wait for a wake-up. `response_timeout_s` is the timeout of each
    attempt of a command and must exceed `wait_s`. `retry_pause_s` is the pause after the first failed attempt.
    """

    def __init__(
        self,
        *,
        url: str,
        queue_name: str,
        wait_s: int = WAIT_S,
        response_timeout_s: float = RESPONSE_TIMEOUT_S,
        retry_pause_s: float = RETRY_PAUSE_S,
    ) -> None:
        super().__init__(
            RedisPool.from_url(
                url,
                socket_connect_timeout=CONNECT_TIMEOUT_S,
                encoding="utf8",
                retry_on_error=[ReadOnlyError],  # a new connection reaches the new primary
            ),
            job_serializer=serialize,
            job_deserializer=deserialize,
            default_queue_name=queue_name,
        )
        self._wait_s = wait_s
        self._is_first_read = True
        self._retry = OutageRetry(response_timeout_s=response_timeout_s, retry_pause_s=retry_pause_s)

    async def zrangebyscore(self, name: str, **options: Any) -> list[bytes]:  # type: ignore[override]
        """Return the ids of the due jobs that no worker has started. If there are none, wait for a wake-up.

        An entry stays in the queue while its job runs, so started jobs are excluded. Otherwise a long job would end
        every wait. A wake-up is the id of a job. ARQ skips ids that are not due or no longer queued. The first call
        does not wait, because ARQ writes its health key after the call.
        """
        now_ms: int = options["max"]
        entries = await super().zrangebyscore(name, **{**options, "max": "+inf", "withscores": True})
        due = [job_id for job_id, score in entries if score <= now_ms]
        if due:
            started = await self.mget([in_progress_key_prefix + job_id.decode() for job_id in due])
            due = [job_id for job_id, mark in zip(due, started, strict=True) if mark is None]
        is_first_read, self._is_first_read = self._is_first_read, False
        if due or is_first_read:
            return due
        next_due_s = [score / 1000 - time() for _, score in entries if score > now_ms]
        return await self._wait_for_job(name, next_due_s=next_due_s[0] if next_due_s else None)

    async def _wait_for_job(self, queue_name: str, *, next_due_s: float | None) -> list[bytes]:
        """Wait for a wake-up, or until the next job is due.

        The timeout of `asyncio` is exact, but closes the connection. The server ends BLPOP up to 100 ms late, which is
        exact enough for `WAIT_S`.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(next_due_s if next_due_s is not None and next_due_s < self._wait_s else None):
                woken = await self.blpop([wake_up_key(queue_name)], timeout=self._wait_s)  # type: ignore[misc]
                return [woken[1]] if woken else []
        return []

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute one command, and repeat it during an outage."""
        execute: Callable[..., Awaitable[Any]] = super().execute_command
        return await self._retry.run(lambda: execute(*args, **options))

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> JobPipeline:
        """Return a pipeline that repeats its commands during an outage."""
        return JobPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint, retry=self._retry)

    async def psetex(self, name: Any, time_ms: Any, value: Any) -> Any:
        """Set ARQ's health key for `wait_s` seconds longer, because an idle worker renews it this much later."""
        return await super().psetex(name, time_ms + self._wait_s * 1000, value)

    async def delete(self, *names: Any) -> Any:
        """Delete keys, but wait at most `CLOSE_TIMEOUT_S`.

        ARQ deletes its health key before it closes the worker, so an outage must not delay the stop.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                return await super().delete(*names)

    async def close(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections. ARQ calls `aclose` by this deprecated name."""
        await self.aclose(close_connection_pool)
