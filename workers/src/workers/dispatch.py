"""Hands queued jobs to ARQ: `enqueue_job(<kind>, <job id>)`.

ARQ's id of an entry holds the ledger's attempt, so each attempt has one entry, however often it is enqueued. Whatever
is lost on the way, the sweeper enqueues again: the ledger knows what is due.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog
from arq.constants import in_progress_key_prefix, job_key_prefix
from redis.asyncio import Redis

from shared.redis import server_attributes
from shared.store_errors import REDIS_ERRORS
from workers.arq_redis import EnqueueRedis, deserialize, serialize
from workers.ledger import QueuedJob

log = structlog.get_logger(__name__)

ENTRY_RETENTION = timedelta(days=7)
"""How long an entry may wait in Redis after it is due. After ARQ's default, a day, the sweeper would have to enqueue
late jobs again."""

ARQ_TIMEOUT_S = 660.0
"""ARQ's own limit on a job, longer than any kind's: what ARQ stops itself is not recorded in the ledger."""

MARK_S = ARQ_TIMEOUT_S + 10.0
"""Before the job is claimed, ARQ marks an entry as in progress for so long: for its longest limit and ten seconds."""

STUCK_S = 8.0
"""A claim follows the mark within milliseconds. After so long without one, the worker has died in between."""


class Dispatcher:
    """Enqueues jobs. `queue_of` returns the queue for a job's kind; `redis` lends its connections."""

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
        """Hand jobs to ARQ, each for when it is due. A failure is only logged: the sweeper enqueues them."""
        try:
            await self._enqueue(jobs)
        except REDIS_ERRORS as error:
            log.warning("enqueue_failed", jobs=len(jobs), error=f"{type(error).__name__}: {error}")

    async def restore(self, jobs: Sequence[QueuedJob]) -> int:
        """Enqueue again what Redis has lost of these overdue jobs, and return how many that were.

        An entry that is there but stuck behind the mark of a dead worker is freed.

        Raises:
            RedisError, OSError: Redis does not respond, or rejects the work.
        """
        if not jobs:
            return 0
        async with self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.zscore(self._queue_of(job.kind), arq_id(job))
                pipe.pttl(in_progress_key_prefix + arq_id(job))
            responses = await pipe.execute()
        scores, marks_ms = responses[::2], responses[1::2]
        lost = [job for job, score in zip(jobs, scores, strict=True) if score is None]
        stuck = [job for job, left_ms in zip(jobs, marks_ms, strict=True) if 0 < left_ms < (MARK_S - STUCK_S) * 1000]
        leftovers = [job_key_prefix + arq_id(job) for job in lost]  # with one, `enqueue_job` would do nothing
        leftovers += [in_progress_key_prefix + arq_id(job) for job in stuck]
        if leftovers:
            await self._redis.delete(*leftovers)
        await self._enqueue(lost)
        return len(lost)

    async def _enqueue(self, jobs: Sequence[QueuedJob]) -> None:
        for job in jobs:
            await self._redis.enqueue_job(
                job.kind,
                str(job.job_id),
                _job_id=arq_id(job),
                _queue_name=self._queue_of(job.kind),
                _defer_by=timedelta(seconds=max(job.due_in_s, 0.0)),
            )


def arq_id(job: QueuedJob) -> str:
    """ARQ's id of one attempt at a job."""
    return f"{job.job_id}:{job.attempt}"
