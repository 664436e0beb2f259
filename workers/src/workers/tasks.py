"""What jobs do: the functions of ARQ's workers, each of the name of its job's kind.

`@job` makes each one what ARQ calls, `function(ctx, job_id)`. As written here, it gets the validated payload, the claim
it runs under and the tools, and returns the jobs that follow. Each may run again after a crash, so each is harmless to
repeat. It raises `JobImpossible` if no retry helps; after any other error it is tried again later.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from workers.dependencies import Tools
from workers.emails import order_letter, sales_letter, welcome_letter
from workers.errors import ReportClosed
from workers.ledger import Claim
from workers.reports.schemas import FailReport, MakeReport
from workers.runner import job
from workers.schemas import CleanUp, FulfilOrder, NewJob, OrderEmail, SalesEmail, SummariseSales, WelcomeEmail

log = structlog.get_logger(__name__)

BATCHES = 20
"""What one clean-up removes at most, in batches; then it goes on as another job, behind those that wait meanwhile."""


@job(WelcomeEmail)
async def send_welcome_email(payload: WelcomeEmail, claim: Claim, tools: Tools) -> Sequence[NewJob]:
    """Greet a new user."""
    user = await tools.users.get(payload.user_id)
    await tools.mailer.send(welcome_letter(user), claim=claim)
    return ()


@job(OrderEmail)
async def send_order_email(payload: OrderEmail, claim: Claim, tools: Tools) -> Sequence[NewJob]:
    """Tell a user that an order was placed, shipped or cancelled."""
    user = await tools.users.get(payload.user_id)
    await tools.mailer.send(order_letter(user, payload.order, status=payload.status), claim=claim)
    return ()


@job(FulfilOrder)
async def fulfil_order(payload: FulfilOrder, _claim: Claim, tools: Tools) -> Sequence[NewJob]:
    """Pack or ship an order. Nothing waits in between: shipping is a job of its own, due a few seconds later.

    An order that was cancelled meanwhile ends it, done with nothing done.
    """
    if not await tools.orders.advance(payload.order_id, payload.step):
        log.info("fulfilment_ended", order_id=payload.order_id, step=payload.step)
        return ()
    log.info("order_advanced", order_id=payload.order_id, step=payload.step)
    if payload.step == "ship":
        return ()
    return [NewJob(payload=payload.model_copy(update={"step": "ship"}), delay_s=tools.fulfil_step_s)]


@job(SummariseSales)
async def summarise_sales(payload: SummariseSales, _claim: Claim, tools: Tools) -> Sequence[NewJob]:
    """Write to every admin, each in a job of its own: an address that refuses keeps nobody else from theirs."""
    sales, admins = await tools.orders.sales(payload.day), await tools.users.admins()
    return [NewJob(payload=SalesEmail(user_id=admin.id, sales=sales)) for admin in admins]


@job(SalesEmail)
async def send_sales_summary(payload: SalesEmail, claim: Claim, tools: Tools) -> Sequence[NewJob]:
    """Tell an admin what was sold."""
    admin = await tools.users.get(payload.user_id)
    await tools.mailer.send(sales_letter(admin, payload.sales), claim=claim)
    return ()


@job(CleanUp)
async def clean_up(payload: CleanUp, _claim: Claim, tools: Tools) -> Sequence[NewJob]:
    """Have a place forget what it does not need any more; what one job does not manage, the next part does."""
    events_since = None if payload.place in tools.publishers else await _events_since(tools)
    for _ in range(BATCHES):
        tidied = await tools.housekeepers[payload.place].tidy(events_since=events_since)
        if not tidied.more:
            return ()
    return [NewJob(payload=payload.model_copy(update={"part": payload.part + 1}))]


async def _events_since(tools: Tools) -> datetime:
    """Since when any outbox keeps events that could come again."""
    return min(await asyncio.gather(*(place.events_since() for place in tools.publishers.values())))


@job(MakeReport)
async def make_report(payload: MakeReport, _claim: Claim, tools: Tools) -> Sequence[NewJob]:
    """Make a report; one that is finished or gone is left alone."""
    await tools.report_maker.make(payload.report_id)
    return ()


@job(FailReport)
async def fail_report(payload: FailReport, _claim: Claim, tools: Tools) -> Sequence[NewJob]:
    """Tell orders that a report failed, unless another try has finished it."""
    with suppress(ReportClosed):
        await tools.reports.fail(payload.report_id, reason=payload.reason)
    return ()
