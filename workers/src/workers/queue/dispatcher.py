"""Enqueues jobs in ARQ: `enqueue_job(<job type>, <job id>)`.

The id of an entry contains the attempt, so that each attempt has one entry, even if it is enqueued twice. The sweeper
enqueues lost jobs again.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog
from arq.constants import in_progress_key_prefix, job_key_prefix
from redis.asyncio import Redis

from shared.db.redis import server_attributes
from shared.errors.stores import REDIS_ERRORS, log_store_failure
from workers.jobs.repository import QueuedJob
from workers.queue.arq_redis import EnqueueRedis, deserialize, serialize

log = structlog.get_logger(__name__)

ENTRY_RETENTION = timedelta(days=7)
"""Lifetime of an entry after it is due. ARQ drops an expired entry without running it. With the default of one day, ARQ
would drop jobs that are a day late, and the sweeper would have to enqueue them again."""

ARQ_TIMEOUT_S = 660.0
"""ARQ's own timeout in seconds. It exceeds that of each job type, because a job that ARQ stops does not fail."""

MARK_S = ARQ_TIMEOUT_S + 10.0
"""Lifetime in seconds of the in-progress mark, which ARQ sets before a claim: its timeout plus 10 s."""

STUCK_S = 8.0
"""Age in seconds after which an in-progress mark without a claim is deleted. The claim normally follows the mark within
milliseconds, so the worker must have died in between."""


class Dispatcher:
    """Enqueues jobs through the connection pool of `redis`. `queue_of` returns the queue of a job type."""

    def __init__(self, *, redis: Redis, queue_of: Callable[[str], str]) -> None:
        self._redis = EnqueueRedis(
            redis.connection_pool,
            job_serializer=serialize,
            job_deserializer=deserialize,
            expires_extra_ms=int(ENTRY_RETENTION / timedelta(milliseconds=1)),
        )
        self._queue_of = queue_of
        self.server = server_attributes(redis)

    async def enqueue(self, *jobs: QueuedJob) -> None:
        """Enqueue jobs for their due times. A failure is only logged, because the sweeper enqueues the jobs again."""
        try:
            await self._enqueue(jobs)
        except REDIS_ERRORS as error:
            log_store_failure(log, "enqueue_failed", error, jobs=len(jobs))

    async def restore(self, jobs: Sequence[QueuedJob]) -> int:
        """Enqueue the overdue `jobs` that have no entry in Redis, and return their number.

        If a worker died before it claimed a job, its in-progress mark blocks the entry. The mark is deleted, and a
        waiting worker is woken.

        Raises:
            RedisError, OSError: Redis is unavailable or rejects the commands.
        """
        if not jobs:
            return 0
        async with self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.zscore(self._queue_of(job.type_name), arq_id(job))
                pipe.pttl(in_progress_key_prefix + arq_id(job))
            responses = await pipe.execute()
        scores, marks_ms = responses[::2], responses[1::2]
        lost = [job for job, score in zip(jobs, scores, strict=True) if score is None]
        stuck = [job for job, left_ms in zip(jobs, marks_ms, strict=True) if 0 < left_ms < (MARK_S - STUCK_S) * 1000]
        leftovers = [job_key_prefix + arq_id(job) for job in lost]  # `enqueue_job` does nothing if this key exists
        leftovers += [in_progress_key_prefix + arq_id(job) for job in stuck]
        if leftovers:
            await self._redis.delete(*leftovers)
        await self._wake_workers(stuck)
        await self._enqueue(lost)
        return len(lost)

    async def _wake_workers(self, jobs: Sequence[QueuedJob]) -> None:
        """Wake a waiting worker for each job. Otherwise an idle worker reads the queue after `arq_redis.WAIT_S`."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.wake_workers(self._queue_of(job.type_name), [arq_id(job)])
            await pipe.execute()

    async def _enqueue(self, jobs: Sequence[QueuedJob]) -> None:
        for job in jobs:
            await self._redis.enqueue_job(
                job.type_name,
                str(job.job_id),
                _job_id=arq_id(job),
                _queue_name=self._queue_of(job.type_name),
                _defer_by=timedelta(seconds=max(job.due_in_s, 0.0)),
            )


def arq_id(job: QueuedJob) -> str:
    """Return the id of the ARQ entry for one attempt of a job."""
    return f"{job.job_id}:{job.attempt}"
