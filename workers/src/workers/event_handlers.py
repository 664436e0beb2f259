"""How the worker reacts to events: jobs are added in the event's own transaction, and handed to ARQ after it."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from shared.events import AfterCommit, CloudEvent, Handler
from workers.dispatch import Dispatcher
from workers.ledger import JobLedger
from workers.reports.schemas import MakeReport, ReportRequested
from workers.schemas import FulfilOrder, NewJob, Order, OrderEmail, UserRegistered, WelcomeEmail

GROUP = "workers"
ORDERS_STREAM = "events:orders"
USERS_STREAM = "events:users"


class Reactions:
    """Event type → jobs. Data that does not fit raises pydantic's ValidationError: a dead letter."""

    def __init__(self, *, dispatcher: Dispatcher, fulfil_step_s: float) -> None:
        self._dispatcher = dispatcher
        self._fulfil_step_s = fulfil_step_s

    def by_stream(self) -> Mapping[str, Mapping[str, Handler]]:
        """The handlers of each stream, by event type."""
        return {
            USERS_STREAM: {"hopline.user.registered.v1": self.user_registered},
            ORDERS_STREAM: {
                "hopline.order.placed.v1": self.order_placed,
                "hopline.order.shipped.v1": self.order_shipped,
                "hopline.order.cancelled.v1": self.order_cancelled,
                "hopline.report.requested.v1": self.report_requested,
            },
        }

    async def user_registered(self, session: AsyncSession, event: CloudEvent) -> AfterCommit:
        """Greet the user."""
        user = UserRegistered.model_validate(event.data)
        return await self._add(session, NewJob(payload=WelcomeEmail(user_id=user.user_id)))

    async def order_placed(self, session: AsyncSession, event: CloudEvent) -> AfterCommit:
        """Confirm the order and start its fulfilment."""
        order = Order.model_validate(event.data)
        confirm = OrderEmail(user_id=order.user_id, status="placed", order=order)
        pack = FulfilOrder(user_id=order.user_id, order_id=order.order_id, step="pack")
        return await self._add(session, NewJob(payload=confirm), NewJob(payload=pack, delay_s=self._fulfil_step_s))

    async def order_shipped(self, session: AsyncSession, event: CloudEvent) -> AfterCommit:
        """Say that it is on its way."""
        order = Order.model_validate(event.data)
        shipped = OrderEmail(user_id=order.user_id, status="shipped", order=order)
        return await self._add(session, NewJob(payload=shipped))

    async def order_cancelled(self, session: AsyncSession, event: CloudEvent) -> AfterCommit:
        """Say that it is cancelled. The fulfilment finds out by itself."""
        order = Order.model_validate(event.data)
        cancelled = OrderEmail(user_id=order.user_id, status="cancelled", order=order)
        return await self._add(session, NewJob(payload=cancelled))

    async def report_requested(self, session: AsyncSession, event: CloudEvent) -> AfterCommit:
        """Have it made."""
        report = ReportRequested.model_validate(event.data)
        return await self._add(session, NewJob(payload=MakeReport(user_id=report.user_id, report_id=report.report_id)))

    async def _add(self, session: AsyncSession, *new_jobs: NewJob) -> AfterCommit:
        added = await JobLedger(session).add(*new_jobs)

        async def enqueue() -> None:
            await self._dispatcher.enqueue(*added)

        return enqueue
