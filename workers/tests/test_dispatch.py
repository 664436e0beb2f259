from uuid import uuid4

import orjson

from workers.dispatch import MARK_S, Dispatcher, arq_id
from workers.ledger import QueuedJob

from .world import World


def queued(*, due_in_s: float = 0.0, attempt: int = 1) -> QueuedJob:
    return QueuedJob(job_id=uuid4(), kind="send_fax", attempt=attempt, due_in_s=due_in_s)


def dispatcher(world: World) -> Dispatcher:
    return Dispatcher(redis=world.redis, queue_of=lambda _kind: "q")


class TestEnqueue:
    async def test_writes_what_arq_reads(self, world: World) -> None:
        job = queued(due_in_s=60)
        await dispatcher(world).enqueue(job)
        entry = orjson.loads(await world.redis.get(f"arq:job:{job.job_id}:1") or b"{}")
        assert (entry["f"], entry["a"]) == ("send_fax", [str(job.job_id)])
        seconds, _ = await world.redis.time()
        due = await world.redis.zscore("q", arq_id(job))
        assert due is not None
        assert 55 < due / 1000 - seconds < 65

    async def test_twice_is_one_entry(self, world: World) -> None:
        job = queued()
        for _ in range(2):
            await dispatcher(world).enqueue(job)
        assert await world.redis.zcard("q") == 1

    async def test_failure_is_left_to_the_sweeper(self, world: World) -> None:
        await world.redis.set("q", "not a queue")
        await dispatcher(world).enqueue(queued())


class TestRestore:
    async def test_writes_only_what_is_missing(self, world: World) -> None:
        there, lost = queued(due_in_s=-2), queued(due_in_s=-2)
        await dispatcher(world).enqueue(there)
        assert await dispatcher(world).restore([there, lost]) == 1
        assert await world.redis.zcard("q") == 2

    async def test_frees_what_a_dead_worker_had_picked(self, world: World) -> None:
        fresh, stuck = queued(due_in_s=-60), queued(due_in_s=-60)
        for job, age_s in ((fresh, 1), (stuck, 9)):
            await dispatcher(world).enqueue(job)
            await world.redis.set(f"arq:in-progress:{arq_id(job)}", "1", ex=int(MARK_S) - age_s)
        assert await dispatcher(world).restore([fresh, stuck]) == 0
        marks = await world.redis.keys("arq:in-progress:*")
        assert marks == [f"arq:in-progress:{arq_id(fresh)}".encode()]

    async def test_knows_how_long_arq_marks_an_entry(self, world: World) -> None:
        async with world.worker() as worker:
            assert worker.in_progress_timeout_s == MARK_S
