"""What jobs do. Each function may run again after a crash, so each is harmless to repeat.

A function gets its validated payload, the claim it runs under and the tools, and returns the jobs that follow. It
raises `JobImpossible` where no retry helps; whatever else it raises is tried again later.
"""

from collections.abc import Sequence

import structlog

from workers.dependencies import Tools
from workers.emails import order_letter, welcome_letter
from workers.ledger import Claim
from workers.schemas import FulfilOrder, NewJob, OrderEmail, WelcomeEmail

log = structlog.get_logger(__name__)


async def send_welcome_email(payload: WelcomeEmail, claim: Claim, tools: Tools) -> Sequence[NewJob]:
    """Greet a new user."""
    user = await tools.users.get(payload.user_id)
    await tools.mailer.send(welcome_letter(user), claim=claim)
    return ()


async def send_order_email(payload: OrderEmail, claim: Claim, tools: Tools) -> Sequence[NewJob]:
    """Tell a user that an order was placed, shipped or cancelled."""
    user = await tools.users.get(payload.user_id)
    await tools.mailer.send(order_letter(user, payload.order, status=payload.status), claim=claim)
    return ()


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
