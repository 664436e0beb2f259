"""The scheduler adds one job per slot, also after missed slots. The jobs of the schedules are tested here too."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from cronsim import CronSim
from sqlalchemy import select
from structlog.testing import capture_logs

from workers.jobs.types import JOB_TYPES, queue_of
from workers.models import Job, Schedule
from workers.queue.dispatcher import Dispatcher
from workers.schedules.definitions import SCHEDULES, ScheduleDefinition
from workers.schedules.scheduler import Scheduler
from workers.schemas import CleanUp, NewJob, SummariseSales
from workers.tasks import BATCHES

from .factories import order_email, welcome_email
from .fakes import add_user, body
from .harness import Harness

HOURLY = ScheduleDefinition(name="hourly", cron="0 * * * *", payload=lambda slot: CleanUp(place="users", slot=slot))
DAILY = ScheduleDefinition(
    name="daily",
    cron=f"0 {(datetime.now(UTC).hour + 12) % 24} * * *",
    payload=lambda slot: CleanUp(place="users", slot=slot),
)
"""The slots of this schedule are half a day from now, so that none becomes due during a test."""
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def new_scheduler(harness: Harness, *schedules: ScheduleDefinition) -> Scheduler:
    dispatcher = Dispatcher(redis=harness.redis, queue_of=queue_of)
    return Scheduler(database=harness.database, dispatcher=dispatcher, schedules=schedules or [DAILY], every_s=60)


async def get_daily_schedule(harness: Harness) -> Schedule:
    async with harness.database.sessions() as session:
        return (await session.scalars(select(Schedule).where(Schedule.name == DAILY.name))).one()


async def advance_days(harness: Harness, days: int) -> None:
    """Advance the clock by moving the schedule into the past."""
    await harness.execute(
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
    def test_slots_around_a_moment_are_the_last_full_hour_and_the_next(
        self, moment: datetime, before: datetime, after: datetime
    ) -> None:
        assert (HOURLY.slot_at(moment), HOURLY.slot_after(moment)) == (before, after)

    def test_slots_are_in_utc(self) -> None:
        elsewhere = datetime.fromisoformat("2026-11-25T03:00:00-11:00")
        daily = ScheduleDefinition(name="daily", cron="0 6 * * *", payload=HOURLY.payload)
        assert daily.slot_at(elsewhere) == datetime(2026, 11, 25, 6, tzinfo=UTC)


class TestDefinitions:
    def test_every_slot_has_a_known_job_type_and_a_unique_key(self) -> None:
        jobs = [schedule.payload(slot) for schedule in SCHEDULES for slot in (NOON, NOON + timedelta(days=1))]
        assert {job.type_name for job in jobs} <= set(JOB_TYPES)
        assert len({job.dedupe_key for job in jobs}) == len(jobs)

    def test_publishers_are_cleaned_up_before_consumers(self) -> None:
        minutes = {schedule.name: next(CronSim(schedule.cron, NOON)).minute for schedule in SCHEDULES}
        publishers = max(minutes["clean_up_users"], minutes["clean_up_orders"])
        assert publishers < min(minutes["clean_up_notifications"], minutes["clean_up_workers"])


class TestScheduler:
    async def test_new_schedule_starts_with_its_next_slot(self, harness: Harness) -> None:
        scheduler = new_scheduler(harness)
        await scheduler.register_schedules()
        await scheduler.add_due_jobs()
        assert await harness.list_jobs() == []
        assert (await get_daily_schedule(harness)).last_slot is None

    async def test_one_job_is_added_when_a_slot_is_due(self, harness: Harness) -> None:
        scheduler = new_scheduler(harness)
        await scheduler.register_schedules()
        await advance_days(harness, 1)
        await scheduler.add_due_jobs()
        await scheduler.add_due_jobs()
        (job,), schedule = await harness.list_jobs(), await get_daily_schedule(harness)
        assert (schedule.last_job_id, schedule.next_slot) == (job.id, DAILY.slot_after(datetime.now(UTC)))
        assert schedule.last_slot == schedule.next_slot - timedelta(days=1)

    async def test_only_the_latest_slot_gets_a_job_when_slots_were_missed(self, harness: Harness) -> None:
        scheduler = new_scheduler(harness)
        await scheduler.register_schedules()
        await advance_days(harness, 50)
        with capture_logs() as logs:
            await scheduler.add_due_jobs()
        assert len(await harness.list_jobs()) == 1
        assert (await get_daily_schedule(harness)).last_slot == DAILY.slot_at(datetime.now(UTC))
        assert [record["event"] for record in logs] == ["slots_missed"]

    async def test_one_job_is_added_when_schedulers_are_concurrent(self, harness: Harness) -> None:
        schedulers = [new_scheduler(harness) for _ in range(6)]
        await asyncio.gather(*(scheduler.register_schedules() for scheduler in schedulers))
        await advance_days(harness, 1)
        await asyncio.gather(*(scheduler.add_due_jobs() for scheduler in schedulers))
        assert len(await harness.list_jobs()) == 1

    async def test_slot_gets_no_second_job_when_its_row_was_restored_from_a_backup(self, harness: Harness) -> None:
        scheduler = new_scheduler(harness)
        await scheduler.register_schedules()
        for _ in range(2):  # the second time, the row is moved back to the slot that already has a job
            await advance_days(harness, 1)
            await scheduler.add_due_jobs()
        assert len(await harness.list_jobs()) == 1
        assert (await get_daily_schedule(harness)).last_job_id is not None

    async def test_next_slot_is_kept_by_a_restart_unless_the_cron_expression_changes(self, harness: Harness) -> None:
        await new_scheduler(harness).register_schedules()
        await advance_days(harness, 1)
        await new_scheduler(harness).register_schedules()
        kept_slot = (await get_daily_schedule(harness)).next_slot
        assert kept_slot < datetime.now(UTC)
        changed = ScheduleDefinition(name="daily", cron="30 2 1 * *", payload=DAILY.payload)
        await new_scheduler(harness, changed).register_schedules()
        assert (await get_daily_schedule(harness)).next_slot > datetime.now(UTC)

    async def test_worker_adds_and_runs_due_jobs(self, harness: Harness) -> None:
        async with harness.run_worker(schedule_seconds="0.05"):
            await harness.execute("UPDATE schedule SET next_slot = now() WHERE name = 'clean_up_users'")
            (job,) = await harness.wait_until_done(1)
        assert job.dedupe_key.startswith("clean_up:users:")
        assert harness.users.cleanup.requests == [{"events_since": None}]


class TestSalesSummary:
    async def test_summary_goes_to_every_admin_once(self, harness: Harness) -> None:
        for address in ("one@hopline.example", "two@hopline.example"):
            admin = uuid4()
            add_user(harness.users, admin, email=address)
            harness.users.admins.append(admin)
        summary = NewJob(payload=SummariseSales(day=date(2026, 11, 24)))
        async with harness.run_worker():
            await harness.add_jobs(summary)
            await harness.wait_until_done(3)
            assert await harness.add_jobs(summary) == []
        assert sorted(harness.mailbox.recipients) == ["one@hopline.example", "two@hopline.example"]
        message = harness.mailbox.messages[0]
        assert message["Subject"] == "24 November 2026: 2 orders, 45.00 EUR"
        for form in ("plain", "html"):
            assert "Blue cup" in body(message, form)
            assert "37.50 EUR" in body(message, form)


class TestCleanup:
    async def test_cleanup_continues_as_another_job_when_there_are_many_rows(self, harness: Harness) -> None:
        harness.orders.cleanup.batches = BATCHES + 5
        jobs = await self._run_cleanup(harness, "orders", jobs=2)
        assert [job.dedupe_key.rpartition(":")[2] for job in jobs] == ["1", "2"]
        assert len(harness.orders.cleanup.requests) == BATCHES + 5

    async def test_inbox_cleanup_starts_at_the_oldest_event_of_any_outbox(self, harness: Harness) -> None:
        harness.orders.cleanup.since = NOON - timedelta(days=3)
        await self._run_cleanup(harness, "notifications")
        assert harness.notifications.cleanup.requests == [{"events_since": "2026-11-22T12:00:00Z"}]

    async def test_workers_inbox_keeps_events_that_can_be_redelivered(self, harness: Harness) -> None:
        harness.users.cleanup.since = NOON
        await harness.execute(
            "INSERT INTO inbox (consumer, event_id, processed_at)"
            " SELECT 'workers', gen_random_uuid(), CAST(:noon AS timestamptz) - make_interval(hours => hours)"
            " FROM generate_series(0, 3) AS hours",
            noon=NOON,
        )
        await self._run_cleanup(harness, "workers")
        async with harness.database.engine.connect() as connection:
            rows = await connection.exec_driver_sql("SELECT processed_at FROM inbox ORDER BY processed_at")
            assert [processed_at for (processed_at,) in rows] == [NOON - timedelta(hours=1), NOON]

    async def test_cleanup_deletes_expired_done_jobs_with_their_emails_and_keeps_dead_jobs(
        self, harness: Harness
    ) -> None:
        expired_email, recent_email, email_of_unknown_user = order_email(), welcome_email(), welcome_email()
        for job in (expired_email, recent_email):
            add_user(harness.users, job.payload.user_id)
        (expired_job,) = await harness.add_jobs(expired_email)
        await harness.add_jobs(recent_email, email_of_unknown_user)
        async with harness.run_worker():
            await harness.wait_until_ended(3)
        await harness.execute(
            "UPDATE job SET finished_at = finished_at - interval '15 days' WHERE id = :id OR state = 'dead'",
            id=expired_job.job_id,
        )
        await self._run_cleanup(harness, "workers")
        kept = [job.kind for job in await harness.list_jobs() if job.kind != "clean_up"]
        assert kept == ["send_welcome_email", "send_welcome_email"]
        assert len(await harness.list_emails()) == 1

    async def _run_cleanup(self, harness: Harness, service: str, *, jobs: int = 1) -> Sequence[Job]:
        """Add the cleanup job of a service, wait until this number of cleanup jobs is done, and return them."""
        async with harness.run_worker():
            await harness.add_jobs(NewJob(payload=CleanUp.model_validate({"place": service, "slot": NOON})))
            all_jobs = await harness.wait_until(lambda all_jobs: len(select_done_cleanups(all_jobs)) == jobs)
        return select_done_cleanups(all_jobs)


def select_done_cleanups(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if (job.kind, job.state) == ("clean_up", "done")]
