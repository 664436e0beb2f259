"""Event handlers. Each adds jobs in the transaction of the event, and enqueues them in ARQ after the commit."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging import AfterCommit, CloudEvent, EventHandler
from workers.jobs.repository import JobRepository
from workers.queue.dispatcher import Dispatcher
from workers.reports.schemas import MakeReport, ReportRequested
from workers.schemas import FulfilOrder, NewJob, Order, OrderEmail, UserRegistered, WelcomeEmail

GROUP = "workers"
ORDERS_STREAM = "events:orders"
USERS_STREAM = "events:users"


class EventHandlers:
    """The handlers of the consumed events. An event with invalid data raises ValidationError and is dead-lettered."""

    def __init__(self, *, dispatcher: Dispatcher, fulfil_step_s: float) -> None:
        self._dispatcher = dispatcher
        self._fulfil_step_s = fulfil_step_s

    def by_stream(self) -> Mapping[str, Mapping[str, EventHandler]]:
        """Return the handlers of each stream by event type."""
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
        """Add the email that greets the user."""
        user = UserRegistered.model_validate(event.data)
        return await self._add(session, NewJob(payload=WelcomeEmail(user_id=user.user_id)))

    async def order_placed(self, session: AsyncSession, event: CloudEvent) -> AfterCommit:
        """Add the confirmation email and the first fulfilment step."""
        order = Order.model_validate(event.data)
        confirm = OrderEmail(user_id=order.user_id, status="placed", order=order)
        pack = FulfilOrder(user_id=order.user_id, order_id=order.order_id, step="pack")
        return await self._add(session, NewJob(payload=confirm), NewJob(payload=pack, delay_s=self._fulfil_step_s))

    async def order_shipped(self, session: AsyncSession, event: CloudEvent) -> AfterCommit:
        """Add the email about the shipped order."""
        order = Order.model_validate(event.data)
        shipped = OrderEmail(user_id=order.user_id, status="shipped", order=order)
        return await self._add(session, NewJob(payload=shipped))

    async def order_cancelled(self, session: AsyncSession, event: CloudEvent) -> AfterCommit:
        """Add the email about the cancelled order. The pending fulfilment job ends without effect."""
        order = Order.model_validate(event.data)
        cancelled = OrderEmail(user_id=order.user_id, status="cancelled", order=order)
        return await self._add(session, NewJob(payload=cancelled))

    async def report_requested(self, session: AsyncSession, event: CloudEvent) -> AfterCommit:
        """Add the job that generates the report."""
        report = ReportRequested.model_validate(event.data)
        return await self._add(session, NewJob(payload=MakeReport(user_id=report.user_id, report_id=report.report_id)))

    async def _add(self, session: AsyncSession, *new_jobs: NewJob) -> AfterCommit:
        added = await JobRepository(session=session).add(*new_jobs)

        async def enqueue() -> None:
            await self._dispatcher.enqueue(*added)

        return enqueue
