"""Events, jobs and problem responses with default values."""

from typing import Any
from uuid import UUID, uuid4

from redis.asyncio import Redis
from starlette.responses import JSONResponse, Response

from shared.messaging import CloudEvent
from workers.jobs.repository import QueuedJob
from workers.reports.schemas import MakeReport
from workers.schemas import FulfilOrder, NewJob, Order, OrderEmail, WelcomeEmail


def order_data(**changes: Any) -> dict[str, Any]:
    """Return the data of an order event with two items and a total of 32.50 EUR."""
    return {
        "order_id": str(uuid4()),
        "user_id": str(uuid4()),
        "status": "placed",
        "items": [
            {"sku": "cup", "name": "Blue cup", "quantity": 2, "unit_price_cents": 1250},
            {"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price_cents": 750},
        ],
        "total_cents": 3250,
        "currency": "EUR",
        "created_at": "2026-11-23T10:00:00Z",
    } | changes


def order_event(status: str = "placed", *, data: dict[str, Any] | None = None, **attributes: Any) -> CloudEvent:
    """Return the event that an order got this status. `attributes` are attributes of the CloudEvent."""
    data = data if data is not None else order_data(status=status)
    subject = str(data.get("order_id", "?"))
    event_type = f"hopline.order.{status}.v1"
    return CloudEvent(source="/hopline/orders", type=event_type, subject=subject, data=data, **attributes)


def registered_event(user_id: UUID) -> CloudEvent:
    """Return the event that a user registered."""
    return CloudEvent(
        source="/hopline/users",
        type="hopline.user.registered.v1",
        subject=str(user_id),
        data={"user_id": str(user_id)},
    )


async def append_event(redis: Redis, event: CloudEvent) -> None:
    """Append an event to the stream of its service, as a relay does."""
    stream = "events:users" if ".user." in event.type else "events:orders"
    await redis.xadd(stream, {"event": event.encode()})


def order_email(order: dict[str, Any] | None = None, *, delay_s: float = 0.0) -> NewJob:
    """Return a job that sends an email about an order."""
    validated = Order.model_validate(order or order_data())
    return NewJob(payload=OrderEmail(user_id=validated.user_id, status="placed", order=validated), delay_s=delay_s)


def welcome_email(user_id: UUID | None = None, *, delay_s: float = 0.0) -> NewJob:
    """Return a job that sends the welcome email."""
    return NewJob(payload=WelcomeEmail(user_id=user_id or uuid4()), delay_s=delay_s)


def fulfilment() -> NewJob:
    """Return a job that packs an order."""
    return NewJob(payload=FulfilOrder(user_id=uuid4(), order_id=uuid4(), step="pack"))


def queued_job(*, due_in_s: float = 0.0, attempt: int = 1) -> QueuedJob:
    """Return a job for the dispatcher. It has no row in the table of jobs."""
    return QueuedJob(job_id=uuid4(), type_name="send_fax", attempt=attempt, due_in_s=due_in_s)


def report_job(report_id: UUID) -> NewJob:
    """Return a job that generates a report."""
    return NewJob(payload=MakeReport(user_id=uuid4(), report_id=report_id))


def report_event(report_id: UUID) -> CloudEvent:
    """Return the event that a report was requested."""
    data = {"report_id": report_id, "user_id": uuid4(), "kind": "orders", "format": "csv"}
    event_type = "hopline.report.requested.v1"
    return CloudEvent(source="/hopline/orders", type=event_type, subject=str(report_id), data=data)


def problem(status: int, slug: str) -> Response:
    """Return a problem response in the form of the services."""
    document = {"type": f"https://hopline.example/problems/{slug}", "status": status}
    return JSONResponse(document, status_code=status, media_type="application/problem+json")
