"""The relay on real servers: the stream is what the outbox says, whatever happens to Redis and Postgres."""

import asyncpg
import pytest
import sqlalchemy as sa
from redis.asyncio import Redis

from shared.events import publish, trim
from testkit.databases import create_database
from testkit.servers import StartPostgres, StartValkey
from testkit.things import OUTBOX, STREAM, Things, made, open_things
from testkit.waiting import eventually


async def everything_shipped(things: Things, count: int) -> bool:
    """The stream is the outbox, contiguous from 1, and holds `count` events."""
    stream, outbox = await things.stream(), await things.outbox()
    return len(outbox) == count and stream == outbox and [seq for seq, _ in stream] == expected_ids(count)


def expected_ids(count: int) -> list[str]:
    return [f"{seq}-0" for seq in range(1, count + 1)]


class TestShipping:
    async def test_ships_in_order_of_insertion(self, things: Things) -> None:
        async with things.relay():
            await things.publish(*range(20))
            await eventually(lambda: everything_shipped(things, 20))
        assert [n for _, n in await things.stream()] == list(range(20))

    async def test_ships_a_backlog_larger_than_a_batch(self, things: Things) -> None:
        async with things.sessions() as session, session.begin():
            for n in range(1100):
                await publish(session, made(n))
        async with things.relay():
            await eventually(lambda: everything_shipped(things, 1100))

    async def test_nothing_of_a_rolled_back_transaction(self, things: Things) -> None:
        async with things.relay():
            async with things.sessions() as session:
                await publish(session, made(1))
                await session.rollback()
            await things.publish(2)
            await eventually(lambda: everything_shipped(things, 1))
        assert await things.stream() == [("1-0", 2)]

    async def test_late_commit_is_not_lost(self, things: Things) -> None:
        async with things.relay(), things.sessions() as slow:
            await publish(slow, made(1))
            await things.publish(2)
            await eventually(lambda: everything_shipped(things, 1))
            await slow.commit()
            await eventually(lambda: everything_shipped(things, 2))
        assert await things.stream() == [("1-0", 2), ("2-0", 1)]


class TestWaking:
    """With a poll of an hour, only a wake-up can explain that something is shipped."""

    async def test_commit_wakes_relay_of_own_process(self, things: Things) -> None:
        async with things.relay(poll_s=3600):
            await things.publish(1)
            await eventually(lambda: everything_shipped(things, 1))
            await things.publish(2)
            await eventually(lambda: everything_shipped(things, 2))

    async def test_commit_wakes_leader_in_other_process(self, things: Things) -> None:
        await things.publish(1)  # before anybody leads: nobody would tell the leader of it
        async with things.relay(poll_s=3600, sessions=None):
            await eventually(lambda: everything_shipped(things, 1), what="the leader")
            async with things.relay(poll_s=3600):  # follows, as the other holds the lock
                await things.publish(2)
                await eventually(lambda: everything_shipped(things, 2))

    async def test_nested_commit_does_not_use_up_the_wake_up(self, things: Things) -> None:
        async with things.relay(poll_s=3600):
            await things.publish(1)
            await eventually(lambda: everything_shipped(things, 1))
            async with things.sessions() as session, session.begin(), session.begin_nested():
                await publish(session, made(2))
            await eventually(lambda: everything_shipped(things, 2))

    async def test_every_commit_of_a_session_wakes(self, things: Things) -> None:
        async with things.relay(poll_s=3600), things.sessions() as session:
            for n in (1, 2, 3):
                await publish(session, made(n))
                await session.commit()
                await eventually(lambda n=n: everything_shipped(things, n))  # type: ignore[misc]

    async def test_poll_finds_what_nobody_told(self, things: Things) -> None:
        async with things.relay(poll_s=0.05, sessions=None):
            for n in (1, 2):
                await things.publish(n)
                await eventually(lambda n=n: everything_shipped(things, n))  # type: ignore[misc]


class TestOneLeader:
    async def test_two_relays_ship_each_event_once(self, things: Things) -> None:
        async with things.relay(poll_s=0.05), things.relay(poll_s=0.05):
            await things.publish(*range(50))
            await eventually(lambda: everything_shipped(things, 50))

    async def test_follower_takes_over(self, things: Things) -> None:
        async with things.relay(poll_s=0.05):
            async with things.relay(poll_s=0.05):
                await things.publish(1)
                await eventually(lambda: everything_shipped(things, 1))
            await things.publish(2)
            await eventually(lambda: everything_shipped(things, 2))

    async def test_only_one_holds_the_lock(self, things: Things) -> None:
        connection = await asyncpg.connect(things.database_url)
        async with things.relay(), things.relay():
            await eventually(lambda: is_count(connection, RELAYS, 2))
            await things.publish(1)
            await eventually(lambda: everything_shipped(things, 1))
            assert await is_count(connection, LOCKS, 1)
        await connection.close()


RELAYS = "pg_stat_activity WHERE application_name LIKE 'relay%' AND datname = current_database()"
LOCKS = (
    "pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND datname = current_database()"
)


async def is_count(connection: "asyncpg.Connection[asyncpg.Record]", what: str, count: int) -> bool:
    found = await connection.fetchval("SELECT count(*) FROM " + what)  # noqa: S608 - the constants above
    return bool(found == count)


class TestRedisForgets:
    async def test_flushed_stream_is_shipped_again(self, things: Things) -> None:
        async with things.relay(poll_s=0.05):
            await things.publish(1, 2, 3)
            await eventually(lambda: everything_shipped(things, 3))
            await things.redis.flushdb()
            await eventually(lambda: everything_shipped(things, 3))

    async def test_flush_between_events(self, things: Things) -> None:
        async with things.relay(poll_s=3600):
            await things.publish(1, 2, 3)
            await eventually(lambda: everything_shipped(things, 3))
            await things.redis.flushdb()
            await things.publish(4)
            await eventually(lambda: everything_shipped(things, 4))

    async def test_older_state_is_completed(self, things: Things) -> None:
        async with things.relay(poll_s=0.05):
            await things.publish(1, 2, 3)
            await eventually(lambda: everything_shipped(things, 3))
            kept = await things.redis.xrange(STREAM, count=2)
            async with things.redis.pipeline(transaction=True) as restore:
                restore.delete(STREAM)
                for entry_id, fields in kept:
                    restore.xadd(STREAM, fields, id=entry_id)
                await restore.execute()
            await eventually(lambda: everything_shipped(things, 3))

    async def test_trimmed_stream_is_not_taken_for_flushed(self, things: Things) -> None:
        async with things.relay(poll_s=0.05):
            await things.publish(1, 2, 3)
            await eventually(lambda: everything_shipped(things, 3))
            await things.redis.xtrim(STREAM, minid="4-0")
            await things.publish(4)
            await eventually(lambda: things.redis.xlen(STREAM))
        assert await things.stream() == [("4-0", 4)]

    async def test_stream_ahead_of_restored_postgres_is_made_anew(self, things: Things) -> None:
        async with things.relay(poll_s=0.05):
            await things.publish(1, 2, 3)
            await eventually(lambda: everything_shipped(things, 3))
        async with things.sessions() as session, session.begin():
            await session.execute(sa.delete(OUTBOX).where(OUTBOX.c.pub_seq > 1))
        await things.publish(4)
        async with things.relay(poll_s=0.05):
            await eventually(lambda: everything_shipped(things, 2))
        assert await things.stream() == [("1-0", 1), ("2-0", 4)]


class TestOutages:
    @pytest.mark.parametrize("append_only", [True, False], ids=["keeps all", "keeps nothing"])
    async def test_survives_redis_kill_and_restart(
        self, database: str, start_valkey: StartValkey, append_only: bool
    ) -> None:
        valkey = start_valkey(append_only=append_only)
        async with (
            open_things(database_url=database, redis_url=valkey.url) as things,
            things.relay(poll_s=0.05),
        ):
            await things.publish(1, 2)
            await eventually(lambda: everything_shipped(things, 2))
            valkey.kill()
            await things.publish(3, 4)
            valkey.start()
            await eventually(lambda: everything_shipped(things, 4))

    async def test_survives_postgres_immediate_stop(self, redis_url: str, start_postgres: StartPostgres) -> None:
        postgres = start_postgres()
        url = await create_database(postgres.url)
        async with open_things(database_url=url, redis_url=redis_url) as things, things.relay(poll_s=0.05):
            await things.publish(1, 2)
            await eventually(lambda: everything_shipped(things, 2))
            postgres.immediate_stop()
            postgres.start()
            await things.engine.dispose()
            await things.publish(3, 4)
            await eventually(lambda: everything_shipped(things, 4))

    async def test_starts_while_redis_is_away(self, database: str, start_valkey: StartValkey) -> None:
        valkey = start_valkey()
        valkey.kill()
        async with open_things(database_url=database, redis_url=valkey.url) as things, things.relay(poll_s=0.05):
            await things.publish(1)
            valkey.start()
            await eventually(lambda: everything_shipped(things, 1))


class TestTrimming:
    async def test_relay_trims_what_its_groups_have_acknowledged(self, things: Things) -> None:
        async with things.relay(poll_s=0.05, trim_s=0.05, trim_for=["watchers"]):
            await things.publish(1, 2, 3)
            await eventually(lambda: everything_shipped(things, 3))
            await acknowledge(things.redis, "watchers", count=3)
            await eventually(lambda: is_length(things.redis, 1))

    async def test_nothing_goes_before_every_group_has_acknowledged(self, things: Things) -> None:
        await things.send(1, 2, 3, 4)
        await acknowledge(things.redis, "fast", count=4)
        await acknowledge(things.redis, "slow", count=2)
        await things.redis.xreadgroup("slow", "member", {STREAM: ">"})
        assert await trim(things.redis, STREAM, groups=["fast", "slow"]) == 2
        assert [seq for seq, _ in await things.stream()] == ["3-0", "4-0"]

    async def test_nothing_goes_while_a_group_is_missing(self, things: Things) -> None:
        await things.send(1, 2, 3)
        await acknowledge(things.redis, "fast", count=3)
        assert await trim(things.redis, STREAM, groups=["fast", "absent"]) == 0
        assert await trim(things.redis, "events:nothing", groups=["fast"]) == 0


async def acknowledge(redis: Redis, group: str, *, count: int) -> None:
    await redis.xgroup_create(STREAM, group, id="0")
    replies = await redis.xreadgroup(group, "member", {STREAM: ">"}, count=count)
    await redis.xack(STREAM, group, *(entry_id for entry_id, _ in replies[0][1]))


async def is_length(redis: Redis, length: int) -> bool:
    return bool(await redis.xlen(STREAM) == length)
