"""ARQ's own connection to Redis: an outage is waited out, however long, instead of ending the process.

ARQ lets any failure of its polling end the worker. What is different here:

- every command is tried again until Redis answers (redis-py's own retries leave out builtin `OSError`, and what
  fails while a fresh connection introduces itself);
- a connection lost under WATCH makes the transaction fail with the WatchError that ARQ expects at its end, not at the
  reads before, where it expects none;
- once the worker is stopping, nothing is due any more, and at its end nothing is waited for (see `workers.stop`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.exceptions import WatchError

from workers.dispatch import deserialize, serialize

log = structlog.get_logger(__name__)

AWAY = (RedisConnectionError, RedisTimeoutError, OSError)
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 5.0
"""Bounds each try, by asyncio.timeout: redis-py's `socket_timeout` sends by asyncio.wait_for, which on Python 3.11 now
and then swallows a cancellation, and ARQ's poll would never hear that it is to stop."""

T = TypeVar("T")


class Patience:
    """Waits until Redis is back; one for a client and its pipelines, so that an outage is logged once."""

    def __init__(self) -> None:
        self.ended = False
        self._away = False

    async def through(self, command: Callable[[], Awaitable[T]]) -> T:
        """Run `command` until it gets an answer; once the patience has ended, the first failure is raised."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    answer = await command()
            except AWAY as error:
                if self.ended:
                    raise
                if not self._away:
                    log.warning("redis_away", error=f"{type(error).__name__}: {error}")
                self._away = True
            else:
                if self._away:
                    log.info("redis_back")
                self._away = False
                return answer
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)


class PatientPipeline(Pipeline):
    """A pipeline whose commands are waited for; a lost WATCH is found out by `execute`."""

    def __init__(self, *args: Any, patience: Patience) -> None:
        super().__init__(*args)
        self._patience = patience
        self._watch_lost = False

    async def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        """WATCH, and what is read under it."""
        attempt: Callable[..., Awaitable[Any]] = super().immediate_execute_command
        try:
            return await self._patience.through(lambda: attempt(*args, **options))
        except WatchError:
            self._watch_lost = True
            answer = await self._patience.through(lambda: attempt(*args, **options))
            self.watching = True  # so that further reads are still answered at once
            return answer

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Run what was queued; raises WatchError where the watch was lost, ResponseError as always."""
        if self._watch_lost:
            await self.aclose()
            raise WatchError("The connection was lost while watching")
        queued, explicit = list(self.command_stack), self.explicit_transaction
        attempt: Callable[..., Awaitable[list[Any]]] = super().execute

        async def again() -> list[Any]:
            self.command_stack, self.explicit_transaction = list(queued), explicit  # a failure has emptied them
            return await attempt(raise_on_error)

        return await self._patience.through(again)


class PatientRedis(ArqRedis):
    """What ARQ is given as `redis_pool`."""

    def __init__(self, url: str, *, queue: str) -> None:
        super().__init__(
            ConnectionPool.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S, encoding="utf8"),
            job_serializer=serialize,
            job_deserializer=deserialize,
            default_queue_name=queue,
        )
        self._patience = Patience()
        self._draining = False
        self._drained = asyncio.Event()

    async def drain(self) -> None:
        """Let ARQ find nothing due from now on; return when it has begun no job since it looked last."""
        self._draining = True
        await self._drained.wait()

    def end_patience(self) -> None:
        """Have commands fail where Redis is away, so that closing cannot hang."""
        self._patience.ended = True

    async def zrangebyscore(self, *args: Any, **options: Any) -> Any:
        """What ARQ polls by."""
        if self._draining:
            self._drained.set()
            return []
        return await super().zrangebyscore(*args, **options)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command."""
        attempt: Callable[..., Awaitable[Any]] = super().execute_command
        return await self._patience.through(lambda: attempt(*args, **options))

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> PatientPipeline:
        """Queue several commands, in a transaction or not."""
        return PatientPipeline(
            self.connection_pool, self.response_callbacks, transaction, shard_hint, patience=self._patience
        )

    async def delete(self, *names: Any) -> Any:
        """Delete keys. ARQ does so while closing, where a Redis that is away must not skip the rest of the closing."""
        with suppress(*AWAY):
            return await super().delete(*names)

    async def close(self, close_connection_pool: bool | None = None) -> None:
        """What ARQ calls, by its deprecated name."""
        await self.aclose(close_connection_pool)
