"""Getting a queued job to an ARQ worker: ARQ's two keys per job, written so that writing them again changes nothing.

ARQ's `enqueue_job` asks before it writes (three round trips, and a refusal while an old key is around). Here the ARQ
id holds the ledger's attempt, so each attempt is an entry of its own, and writing it twice is one entry. Whatever
gets lost on the way, the sweeper writes again: the ledger knows what is due.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from time import time
from typing import Any

import orjson
import structlog
from arq.constants import in_progress_key_prefix, job_key_prefix
from arq.jobs import serialize_job
from redis.asyncio import Redis
from redis.exceptions import RedisError

from workers.ledger import QueuedJob

log = structlog.get_logger(__name__)

RUN = "run"
"""The one ARQ function: `run(job_id)`."""

KEPT = timedelta(days=7)
"""How long an entry may wait in Redis after it is due. ARQ's own day would make late jobs expire there (and the
sweeper would write them anew)."""

ARQ_TIMEOUT_S = 660.0
"""ARQ's own limit on a job, longer than any kind's: what ARQ stops itself, it drops without a word to the ledger."""

MARK_S = ARQ_TIMEOUT_S + 10.0
"""Before the job is claimed, ARQ marks an entry as in progress for so long: for its longest limit and ten seconds."""

STUCK_S = 8.0
"""A claim follows the mark within milliseconds; where none has for so long, the worker has died in between."""


class Dispatcher:
    """Writes entries for ARQ. `queue_of` gives the queue for a job's kind."""

    def __init__(self, *, redis: Redis, queue_of: Callable[[str], str]) -> None:
        self._redis = redis
        self._queue_of = queue_of

    async def enqueue(self, *jobs: QueuedJob) -> None:
        """Hand jobs to ARQ, each when it is due. A failure is only logged: the sweeper comes by every second."""
        try:
            await self._write(jobs)
        except (RedisError, OSError) as error:
            log.warning("enqueue_failed", jobs=len(jobs), error=f"{type(error).__name__}: {error}")

    async def restore(self, jobs: Sequence[QueuedJob]) -> int:
        """Write again what Redis has lost of these overdue jobs; how many that were. Raises where Redis is away.

        An entry that is there but stuck behind the mark of a dead worker is freed.
        """
        if not jobs:
            return 0
        async with self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.zscore(self._queue_of(job.kind), arq_id(job))
                pipe.pttl(in_progress_key_prefix + arq_id(job))
            answers = await pipe.execute()
        scores, marks_ms = answers[::2], answers[1::2]
        lost = [job for job, score in zip(jobs, scores, strict=True) if score is None]
        await self._write(lost)
        stuck = [job for job, left_ms in zip(jobs, marks_ms, strict=True) if 0 < left_ms < (MARK_S - STUCK_S) * 1000]
        if stuck:
            await self._redis.delete(*(in_progress_key_prefix + arq_id(job) for job in stuck))
        return len(lost)

    async def _write(self, jobs: Sequence[QueuedJob]) -> None:
        if not jobs:
            return
        now_ms = int(time() * 1000)
        async with self._redis.pipeline(transaction=True) as pipe:
            for job in jobs:
                entry = serialize_job(RUN, (str(job.job_id),), {}, None, now_ms, serializer=serialize)
                due_in = timedelta(seconds=max(job.due_in_s, 0.0))
                pipe.set(job_key_prefix + arq_id(job), entry, px=KEPT + due_in)
                pipe.zadd(self._queue_of(job.kind), {arq_id(job): now_ms + int(due_in / timedelta(milliseconds=1))})
            await pipe.execute()


def serialize(entry: dict[str, Any]) -> bytes:
    """JSON. ARQ's default is pickle, which runs whatever it finds in Redis. Exceptions become their text."""
    return orjson.dumps(entry, default=str)


def deserialize(entry: bytes) -> dict[str, Any]:
    """Undo `serialize`; raises ValueError on anything else."""
    found: dict[str, Any] = orjson.loads(entry)
    return found


def arq_id(job: QueuedJob) -> str:
    """ARQ's id of one attempt at a job."""
    return f"{job.job_id}:{job.attempt}"
