"""The consumer on real servers: each event is applied once, and a failing event does not block later events."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from shared.db.redis import create_redis
from shared.messaging import CloudEvent, ConsumerLimits, PoisonEventError, list_dead_letters
from testkit.sample_service import GROUP, STREAM, TYPE, EffectHandler, SampleService, sample_event
from testkit.waiting import TIMEOUT_S, eventually

from .conditions import has_applied, has_dead_letters, has_effect, redeliver_all


class TestExactlyOnce:
    async def test_events_are_applied_in_stream_order(self, sample: SampleService) -> None:
        await sample.send(3, 1, 2)
        async with sample.consumer(EffectHandler()):
            await eventually(lambda: has_applied(sample, 3, 1, 2))

    async def test_event_is_applied_when_it_arrives_after_the_start_of_the_consumer(
        self, sample: SampleService
    ) -> None:
        async with sample.consumer(EffectHandler()):
            await sample.send(1)
            await eventually(lambda: has_applied(sample, 1))
            await sample.send(2)
            await eventually(lambda: has_applied(sample, 1, 2))

    async def test_event_is_applied_once_when_it_is_delivered_again(self, sample: SampleService) -> None:
        handler = EffectHandler()
        await sample.send(1, 2)
        async with sample.consumer(handler):
            await eventually(lambda: has_applied(sample, 1, 2))
            await redeliver_all(sample)
            await sample.send(3)
            await eventually(lambda: has_applied(sample, 1, 2, 3))
        assert handler.calls == [1, 2, 3]

    async def test_event_is_applied_once_when_redis_was_flushed(self, sample: SampleService) -> None:
        async with sample.relay(poll_s=0.05), sample.consumer(EffectHandler()):
            await sample.publish(1, 2)
            await eventually(lambda: has_applied(sample, 1, 2))
            await sample.redis.flushdb()
            await sample.publish(3)
            await eventually(lambda: has_applied(sample, 1, 2, 3))

    async def test_inbox_is_not_queried_when_a_single_event_arrives(self, sample: SampleService) -> None:
        queries: list[str] = []

        @sa.event.listens_for(sample.engine.sync_engine, "before_cursor_execute")
        def record_query(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if statement.startswith("SELECT inbox"):
                queries.append(statement)

        await sample.send(1, 2)
        async with sample.consumer(EffectHandler()):
            await eventually(lambda: has_applied(sample, 1, 2))
            assert len(queries) == 1, "a batch is looked up with one query"
            await sample.send(3)
            await eventually(lambda: has_applied(sample, 1, 2, 3))
        assert len(queries) == 1

    async def test_event_is_applied_once_when_two_consumers_handle_it_concurrently(self, sample: SampleService) -> None:
        """The second consumer waits for the inbox row of the first one, then skips the event."""
        entered, release = asyncio.Event(), asyncio.Event()

        class WaitingHandler(EffectHandler):
            async def __call__(self, session: AsyncSession, event: CloudEvent) -> None:
                await super().__call__(session, event)
                entered.set()
                await release.wait()

        second = EffectHandler()
        await sample.send(1)
        async with sample.consumer(WaitingHandler()):
            await entered.wait()
            async with sample.consumer(second, claim_idle_s=0):
                await eventually(lambda: is_waiting_for_a_lock(sample), what="the second consumer to wait for the row")
                release.set()
                await eventually(lambda: has_applied(sample, 1))
        assert second.calls == []

    async def test_event_is_acknowledged_when_its_type_has_no_handler(self, sample: SampleService) -> None:
        await sample.redis.xadd(STREAM, {"event": sample_event(1, kind="hopline.sample.deleted.v1").encode()}, id="1-0")
        await sample.send(2)
        async with sample.consumer(EffectHandler()):
            await eventually(lambda: has_applied(sample, 2))


async def is_waiting_for_a_lock(sample: SampleService) -> bool:
    """Return whether a statement in the database of the service waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with sample.sessions() as session:
        return bool(await session.scalar(sa.text(query)))


class TestAfterCommit:
    async def test_function_runs_once_per_event_and_after_the_commit(self, sample: SampleService) -> None:
        effects_at_call: list[list[int]] = []

        async def record_effects() -> None:
            effects_at_call.append(await sample.effects())

        await sample.send(1)
        async with sample.consumer(EffectHandler(after_commit=record_effects)):
            await eventually(lambda: has_applied(sample, 1))
            await redeliver_all(sample)
            await sample.send(2)
            await eventually(lambda: has_applied(sample, 1, 2))
        assert effects_at_call == [[1], [1, 2]]

    async def test_effect_stays_when_the_function_fails(self, sample: SampleService) -> None:
        async def fail() -> None:
            raise ConnectionError("no server")

        handler = EffectHandler(after_commit=fail)
        await sample.send(1, 2)
        with capture_logs() as records:
            async with sample.consumer(handler):
                await eventually(lambda: has_applied(sample, 1, 2))
        assert handler.calls == [1, 2]
        warnings = [record["event"] for record in records if record["log_level"] == "warning"]
        assert warnings == ["after_commit_failed", "after_commit_failed"]


class TestFailures:
    async def test_event_is_applied_once_when_the_first_attempts_fail(self, sample: SampleService) -> None:
        handler = EffectHandler(failures={1: 2})
        await sample.send(1, 2)
        async with sample.consumer(handler):
            await eventually(lambda: has_applied(sample, 1, 2))
        assert handler.calls == [1, 1, 1, 2]

    async def test_event_becomes_a_dead_letter_when_all_attempts_fail(self, sample: SampleService) -> None:
        handler = EffectHandler(failures={1: None})
        await sample.send(1, 2)
        async with sample.consumer(handler):
            await eventually(lambda: has_applied(sample, 2))
        assert handler.calls == [1] * ConsumerLimits().max_attempts + [2]
        async with sample.sessions() as session:
            (dead_letter,) = await list_dead_letters(session)
        assert (dead_letter.entry_id, dead_letter.event_type, dead_letter.attempts) == (
            "1-0",
            TYPE,
            ConsumerLimits().max_attempts,
        )
        assert dead_letter.error == "ValueError: event 1 is rejected"

    async def test_event_becomes_a_dead_letter_without_retries_when_it_is_poison(self, sample: SampleService) -> None:
        handler = EffectHandler(failures={1: None}, error=PoisonEventError)
        await sample.send(1, 2)
        async with sample.consumer(handler):
            await eventually(lambda: has_applied(sample, 2))
        assert handler.calls == [1, 2]

    async def test_event_becomes_a_dead_letter_when_its_error_cannot_be_stored_as_text(
        self, sample: SampleService
    ) -> None:
        handler = EffectHandler(failures={1: None}, error=UnstorableError)
        await sample.send(1, 2)
        async with sample.consumer(handler, max_attempts=1):
            await eventually(lambda: has_applied(sample, 2))
        async with sample.sessions() as session:
            (dead_letter,) = await list_dead_letters(session)
        assert dead_letter.error == r"UnstorableError: event 1 is rejected: \u0000 \ud800"

    async def test_event_becomes_a_dead_letter_when_its_type_cannot_be_stored_as_text(
        self, sample: SampleService
    ) -> None:
        handler, event = EffectHandler(failures={1: None}), sample_event(1).model_copy(update={"type": "type \0"})
        await sample.redis.xadd(STREAM, {"event": event.encode()}, id="1-0")
        async with sample.consumer(handler, event_type=event.type, max_attempts=1):
            await eventually(lambda: has_dead_letters(sample, 1))
        async with sample.sessions() as session:
            (dead_letter,) = await list_dead_letters(session)
        assert dead_letter.event_type == r"type \u0000"

    @pytest.mark.parametrize("fields", [{"event": "not json"}, {"event": '{"id": 1}'}, {"other": "field"}])
    async def test_entry_becomes_a_dead_letter_when_it_is_not_an_event(
        self, sample: SampleService, fields: dict[Any, Any]
    ) -> None:
        await sample.redis.xadd(STREAM, fields, id="1-0")
        await sample.send(2)
        async with sample.consumer(EffectHandler()):
            await eventually(lambda: has_applied(sample, 2))
        async with sample.sessions() as session:
            (dead_letter,) = await list_dead_letters(session)
        assert dead_letter.event_id is None
        assert "CloudEvent" in dead_letter.error

    async def test_dead_letter_is_stored_once_when_it_is_delivered_again(self, sample: SampleService) -> None:
        handler = EffectHandler(failures={1: None}, error=PoisonEventError)
        await sample.redis.xadd(STREAM, {"event": "not json"}, id="1-0")
        await sample.send(1)
        async with sample.consumer(handler):
            await eventually(lambda: has_applied(sample))
            await eventually(lambda: has_dead_letters(sample, 2))
            await redeliver_all(sample)
            await sample.send(3)
            await eventually(lambda: has_applied(sample, 3))
        assert handler.calls == [1, 3]
        assert await has_dead_letters(sample, 2)


class UnstorableError(Exception):
    """An error that quotes a NUL and a lone surrogate, which PostgreSQL rejects in text."""

    def __str__(self) -> str:
        return f"{self.args[0]}: \x00 \ud800"


class TestClaims:
    async def test_entries_are_claimed_when_their_member_is_idle(self, sample: SampleService) -> None:
        await sample.send(1, 2)
        await sample.redis.xgroup_create(STREAM, GROUP, id="0")
        await sample.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
        async with sample.consumer(EffectHandler(), claim_idle_s=0.1):
            await eventually(lambda: has_applied(sample, 1, 2))

    async def test_entries_are_not_claimed_when_they_were_delivered_recently(self, sample: SampleService) -> None:
        await sample.send(1)
        await sample.redis.xgroup_create(STREAM, GROUP, id="0")
        await sample.redis.xreadgroup(GROUP, "alive", {STREAM: ">"})
        async with sample.consumer(EffectHandler(), claim_idle_s=60):
            await sample.send(2)
            await eventually(lambda: has_effect(sample, 2))
        assert await sample.effects() == [2]
        assert await sample.pending() == 1

    async def test_entry_becomes_a_dead_letter_when_it_was_delivered_too_often(self, sample: SampleService) -> None:
        handler, max_deliveries = EffectHandler(), 4
        await sample.send(1, 2)
        await sample.redis.xgroup_create(STREAM, GROUP, id="0")
        await sample.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
        for _ in range(max_deliveries - 1):
            await sample.redis.xclaim(STREAM, GROUP, "dead", 0, ["1-0"])
        async with sample.consumer(handler, claim_idle_s=0, max_deliveries=max_deliveries):
            await eventually(lambda: has_applied(sample, 2))
        assert handler.calls == [2]
        async with sample.sessions() as session:
            (dead_letter,) = await list_dead_letters(session)
        assert dead_letter.error == f"delivered {max_deliveries + 1} times and never acknowledged"


class TestStop:
    async def test_current_event_is_acknowledged_when_the_consumer_stops(self, sample: SampleService) -> None:
        entered, release = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            entered.set()
            await release.wait()

        await sample.send(1)
        async with sample.consumer(EffectHandler(after_commit=hold)):
            await entered.wait()
            asyncio.get_running_loop().call_later(0.05, release.set)
        assert await has_applied(sample, 1)

    async def test_stop_does_not_wait_when_the_stream_is_idle(self, sample: SampleService) -> None:
        too_long_s = 10 * TIMEOUT_S
        async with (
            create_redis(sample.redis_url, response_timeout_s=None) as redis,
            asyncio.timeout(TIMEOUT_S),
            sample.consumer(EffectHandler(), redis=redis, block_s=too_long_s, drain_timeout_s=too_long_s),
        ):
            await eventually(lambda: is_listening(sample))

    async def test_failing_event_and_later_ones_stay_pending_when_the_consumer_stops(
        self, sample: SampleService
    ) -> None:
        handler = EffectHandler(failures={1: None})
        await sample.send(1, 2)
        async with asyncio.timeout(TIMEOUT_S), sample.consumer(handler):
            await eventually(lambda: handler.calls)
        assert await sample.pending() == 2
        assert await sample.effects() == []

    async def test_later_entries_are_not_claimed_when_the_consumer_stops_at_a_failing_entry(
        self, sample: SampleService
    ) -> None:
        handler = EffectHandler(failures={1: None})
        await sample.send(1, 2)
        await sample.redis.xgroup_create(STREAM, GROUP, id="0")
        await sample.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
        async with sample.consumer(handler, claim_idle_s=0):
            await eventually(lambda: handler.calls)
        assert await sample.pending() == 2
        assert await sample.effects() == []


async def is_listening(sample: SampleService) -> bool:
    return bool((await sample.redis.info("clients"))["blocked_clients"])
