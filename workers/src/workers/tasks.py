"""The job functions. Each has the name of its job type.

Each receives the validated payload, the claim and the job context, and returns the follow-up jobs. `@job` turns it into
the function that ARQ calls, `function(ctx, job_id)`. A function may run again after a crash, so it must be safe to
repeat. A `PermanentJobError` makes the job dead. After any other error, the job is retried.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from workers.dependencies import JobContext
from workers.emails import render_order_email, render_sales_email, render_welcome_email
from workers.errors import ReportClosedError
from workers.jobs.repository import Claim
from workers.jobs.runner import job
from workers.reports.schemas import FailReport, MakeReport
from workers.schemas import CleanUp, FulfilOrder, NewJob, OrderEmail, SalesEmail, SummariseSales, WelcomeEmail

log = structlog.get_logger(__name__)

BATCHES = 20
"""Maximum batches of one cleanup job. A new job deletes the rest, so that other jobs do not wait for a long cleanup."""


@job(WelcomeEmail)
async def send_welcome_email(payload: WelcomeEmail, claim: Claim, context: JobContext) -> Sequence[NewJob]:
    """Send the email that greets a new user."""
    user = await context.users.get(payload.user_id)
    await context.mailer.send(render_welcome_email(user), claim=claim)
    return ()


@job(OrderEmail)
async def send_order_email(payload: OrderEmail, claim: Claim, context: JobContext) -> Sequence[NewJob]:
    """Send the email about an order that was placed, shipped or cancelled."""
    user = await context.users.get(payload.user_id)
    await context.mailer.send(render_order_email(user, payload.order, status=payload.status), claim=claim)
    return ()


@job(FulfilOrder)
async def fulfil_order(payload: FulfilOrder, _claim: Claim, context: JobContext) -> Sequence[NewJob]:
    """Pack or ship an order. Shipping is a separate job that is due later, so that no worker waits between the steps.

    The fulfilment ends if the order was cancelled.
    """
    if not await context.orders.advance(payload.order_id, payload.step):
        log.info("fulfilment_ended", order_id=payload.order_id, step=payload.step)
        return ()
    log.info("order_advanced", order_id=payload.order_id, step=payload.step)
    if payload.step == "ship":
        return ()
    return [NewJob(payload=payload.model_copy(update={"step": "ship"}), delay_s=context.fulfil_step_s)]


@job(SummariseSales)
async def summarise_sales(payload: SummariseSales, _claim: Claim, context: JobContext) -> Sequence[NewJob]:
    """Add one email job per admin, so that a rejected address does not affect the other emails."""
    sales, admins = await context.orders.get_sales(payload.day), await context.users.list_admins()
    return [NewJob(payload=SalesEmail(user_id=admin.id, sales=sales)) for admin in admins]


@job(SalesEmail)
async def send_sales_summary(payload: SalesEmail, claim: Claim, context: JobContext) -> Sequence[NewJob]:
    """Send the email with a day's sales to one admin."""
    admin = await context.users.get(payload.user_id)
    await context.mailer.send(render_sales_email(admin, payload.sales), claim=claim)
    return ()


@job(CleanUp)
async def clean_up(payload: CleanUp, _claim: Claim, context: JobContext) -> Sequence[NewJob]:
    """Delete expired rows of one service. After `BATCHES` batches, the cleanup continues as another job."""
    events_since = None if payload.place in context.publishers else await _events_since(context)
    for _ in range(BATCHES):
        result = await context.cleanup_targets[payload.place].run(events_since=events_since)
        if not result.more:
            return ()
    return [NewJob(payload=payload.model_copy(update={"part": payload.part + 1}))]


async def _events_since(context: JobContext) -> datetime:
    """Return the time of the oldest event that any outbox can still publish again."""
    return min(await asyncio.gather(*(service.events_since() for service in context.publishers.values())))


@job(MakeReport)
async def make_report(payload: MakeReport, _claim: Claim, context: JobContext) -> Sequence[NewJob]:
    """Generate a report, unless it is finished or deleted."""
    await context.report_generator.generate(payload.report_id)
    return ()


@job(FailReport)
async def fail_report(payload: FailReport, _claim: Claim, context: JobContext) -> Sequence[NewJob]:
    """Mark a report as failed, unless another attempt finished it."""
    with suppress(ReportClosedError):
        await context.reports.fail(payload.report_id, reason=payload.reason)
    return ()
