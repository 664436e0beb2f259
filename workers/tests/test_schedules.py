"""Slots become jobs, each once, also those that were missed; and what the regular jobs do."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from cronsim import CronSim
from sqlalchemy import select
from structlog.testing import capture_logs

from workers.dispatch import Dispatcher
from workers.kinds import KINDS, queue_of
from workers.models import Job
from workers.models import Schedule as Row
from workers.scheduler import Scheduler
from workers.schedules import SCHEDULES, Schedule
from workers.schemas import CleanUp, NewJob, SummariseSales

from .factories import order_email, welcome_email
from .standins import body, person
from .world import World

HOURLY = Schedule(name="hourly", cron="0 * * * *", payload=lambda slot: CleanUp(place="users", slot=slot))
DAILY = Schedule(
    name="daily",
    cron=f"0 {(datetime.now(UTC).hour + 12) % 24} * * *",
    payload=lambda slot: CleanUp(place="users", slot=slot),
)
"""Its slots are half a day away: none comes by itself while a test looks."""
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def scheduler(world: World, *schedules: Schedule) -> Scheduler:
    dispatcher = Dispatcher(redis=world.redis, queue_of=queue_of)
    return Scheduler(database=world.database, dispatcher=dispatcher, schedules=schedules or [DAILY], every_s=60)


async def row(world: World) -> Row:
    async with world.database.sessions() as session:
        return (await session.scalars(select(Row).where(Row.name == DAILY.name))).one()


async def days_pass(world: World, days: int) -> None:
    """Move the schedule into the past: the same as the clock going on."""
    await world.execute(
        "UPDATE schedule SET next_slot = next_slot - make_interval(days => :days) WHERE name = 'daily'", days=days
    )


class TestSlots:
    @pytest.mark.parametrize(
        ("moment", "before", "after"),
        [
            (NOON, NOON, NOON + timedelta(hours=1)),
            (NOON + timedelta(microseconds=1), NOON, NOON + timedelta(hours=1)),
            (NOON - timedelta(microseconds=1), NOON - timedelta(hours=1), NOON),
        ],
    )
    def test_are_found_on_both_sides_of_a_moment(self, moment: datetime, before: datetime, after: datetime) -> None:
        assert (HOURLY.slot_at(moment), HOURLY.slot_after(moment)) == (before, after)

    def test_are_meant_in_utc(self) -> None:
        elsewhere = datetime.fromisoformat("2026-11-25T03:00:00-11:00")
        daily = Schedule(name="daily", cron="0 6 * * *", payload=HOURLY.payload)
        assert daily.slot_at(elsewhere) == datetime(2026, 11, 25, 6, tzinfo=UTC)


class TestTable:
    def test_every_slot_has_a_job_of_a_known_kind_and_a_key_of_its_own(self) -> None:
        jobs = [schedule.payload(slot) for schedule in SCHEDULES for slot in (NOON, NOON + timedelta(days=1))]
        assert {job.kind for job in jobs} <= set(KINDS)
        assert len({job.dedupe_key for job in jobs}) == len(jobs)

    def test_publishers_forget_before_inboxes_do(self) -> None:
        minutes = {schedule.name: next(CronSim(schedule.cron, NOON)).minute for schedule in SCHEDULES}
        publishers = max(minutes["clean_up_users"], minutes["clean_up_orders"])
        assert publishers < min(minutes["clean_up_notifications"], minutes["clean_up_workers"])


class TestScheduler:
    async def test_new_schedule_begins_with_its_next_slot(self, world: World) -> None:
        keeper = scheduler(world)
        await keeper.enter()
        await keeper.look()
        assert await world.jobs() == []
        assert (await row(world)).last_slot is None

    async def test_slot_that_has_come_becomes_one_job(self, world: World) -> None:
        keeper = scheduler(world)
        await keeper.enter()
        await days_pass(world, 1)
        await keeper.look()
        await keeper.look()
        (job,), schedule = await world.jobs(), await row(world)
        assert (schedule.last_job_id, schedule.next_slot) == (job.id, DAILY.slot_after(datetime.now(UTC)))
        assert schedule.last_slot == schedule.next_slot - timedelta(days=1)

    async def test_of_missed_slots_the_latest_is_made_up_for(self, world: World) -> None:
        keeper = scheduler(world)
        await keeper.enter()
        await days_pass(world, 50)
        with capture_logs() as lines:
            await keeper.look()
        assert len(await world.jobs()) == 1
        assert (await row(world)).last_slot == DAILY.slot_at(datetime.now(UTC))
        assert [line["event"] for line in lines] == ["slots_missed"]

    async def test_of_many_workers_at_once_one_adds_it(self, world: World) -> None:
        keepers = [scheduler(world) for _ in range(6)]
        await asyncio.gather(*(keeper.enter() for keeper in keepers))
        await days_pass(world, 1)
        await asyncio.gather(*(keeper.look() for keeper in keepers))
        assert len(await world.jobs()) == 1

    async def test_slot_whose_row_was_restored_from_a_backup_is_not_run_again(self, world: World) -> None:
        keeper = scheduler(world)
        await keeper.enter()
        for _ in range(2):
            await days_pass(world, 1)
            await keeper.look()
        assert len(await world.jobs()) == 1
        assert (await row(world)).last_job_id is not None

    async def test_restart_keeps_the_slot_and_another_time_table_does_not(self, world: World) -> None:
        await scheduler(world).enter()
        await days_pass(world, 1)
        await scheduler(world).enter()
        missed = (await row(world)).next_slot
        assert missed < datetime.now(UTC)
        await scheduler(world, Schedule(name="daily", cron="30 2 1 * *", payload=DAILY.payload)).enter()
        assert (await row(world)).next_slot > datetime.now(UTC)

    async def test_worker_runs_what_has_come(self, world: World) -> None:
        async with world.worker(schedule_seconds="0.05"):
            await world.execute("UPDATE schedule SET next_slot = now() WHERE name = 'clean_up_users'")
            (job,) = await world.until_done(1)
        assert job.dedupe_key.startswith("clean_up:users:")
        assert world.users.house.told == [{"events_since": None}]


class TestSalesSummary:
    async def test_goes_to_every_admin_once(self, world: World) -> None:
        for address in ("one@hopline.example", "two@hopline.example"):
            admin = uuid4()
            person(world.users, admin, email=address)
            world.users.admins.append(admin)
        summary = NewJob(payload=SummariseSales(day=date(2026, 11, 24)))
        async with world.worker():
            await world.add(summary)
            await world.until_done(3)
            assert await world.add(summary) == []
        assert sorted(world.mailbox.recipients) == ["one@hopline.example", "two@hopline.example"]
        message = world.mailbox.messages[0]
        assert message["Subject"] == "24 November 2026: 2 orders, 45.00 EUR"
        for form in ("plain", "html"):
            assert "Blue cup" in body(message, form)
            assert "37.50 EUR" in body(message, form)


class TestCleanUp:
    async def test_goes_on_as_another_job_where_there_is_much(self, world: World) -> None:
        world.orders.house.batches = 25
        jobs = await self._clean(world, "orders", count=2)
        assert [job.dedupe_key.rpartition(":")[2] for job in jobs] == ["1", "2"]
        assert len(world.orders.house.told) == 25

    async def test_inboxes_follow_the_oldest_outbox(self, world: World) -> None:
        world.orders.house.since = NOON - timedelta(days=3)
        await self._clean(world, "notifications")
        assert world.notifications.house.told == [{"events_since": "2026-11-22T12:00:00Z"}]

    async def test_own_inbox_forgets_only_what_cannot_come_again(self, world: World) -> None:
        world.users.house.since = NOON
        await world.execute(
            "INSERT INTO inbox (consumer, event_id, processed_at)"
            " SELECT 'workers', gen_random_uuid(), CAST(:noon AS timestamptz) - make_interval(hours => hours)"
            " FROM generate_series(0, 3) AS hours",
            noon=NOON,
        )
        await self._clean(world, "workers")
        async with world.database.engine.connect() as connection:
            kept = await connection.exec_driver_sql("SELECT processed_at FROM inbox ORDER BY processed_at")
            assert [moment for (moment,) in kept] == [NOON - timedelta(hours=1), NOON]

    async def test_forgets_done_jobs_with_their_emails_and_keeps_the_dead(self, world: World) -> None:
        order, late = order_email(), welcome_email()
        for job in (order, late):
            person(world.users, job.payload.user_id)
        (old, *_) = await world.add(order)
        await world.add(welcome_email())
        async with world.worker():
            await world.until_ended(2)
            await world.add(late)
            await world.until_done(2)
        old_ones = "UPDATE job SET finished_at = finished_at - interval '15 days'"
        await world.execute(f"{old_ones} WHERE id = :id OR state = 'dead'", id=old.job_id)
        await self._clean(world, "workers")
        kept = [job.kind for job in await world.jobs() if job.kind != "clean_up"]
        assert kept == ["send_welcome_email", "send_welcome_email"]
        assert len(await world.emails()) == 1

    async def _clean(self, world: World, place: str, *, count: int = 1) -> Sequence[Job]:
        async with world.worker():
            await world.add(NewJob(payload=CleanUp.model_validate({"place": place, "slot": NOON})))
            cleaned = await world.until(lambda jobs: len(done_clean_ups(jobs)) == count)
        return done_clean_ups(cleaned)


def done_clean_ups(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if (job.kind, job.state) == ("clean_up", "done")]
