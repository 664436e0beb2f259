"""The clients and stores that the job functions use, opened once per process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from shared.db.database import Database
from shared.db.object_store import open_object_store
from shared.faults import ActiveFaults
from shared.http.client import open_http_client
from workers.cleanup import CleanupTarget, RemoteCleanup, local_cleanup
from workers.clients import OrdersClient, ServiceToken, UsersClient
from workers.emails import Mailer, SmtpServer
from workers.reports.client import ReportsClient
from workers.reports.files import ReportFiles
from workers.reports.generator import ReportGenerator
from workers.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """The dependencies that each job function receives. `fulfil_step_s` is the delay between packing and shipping.

    `cleanup_targets` has the cleanup of each service by name. `publishers` has those of the services with an outbox.
    """

    users: UsersClient
    orders: OrdersClient
    mailer: Mailer
    cleanup_targets: Mapping[str, CleanupTarget]
    publishers: Mapping[str, RemoteCleanup]
    reports: ReportsClient
    report_generator: ReportGenerator
    fulfil_step_s: float


@asynccontextmanager
async def open_job_context(
    settings: Settings, *, database: Database, faults: ActiveFaults
) -> AsyncIterator[JobContext]:
    """Open the clients. They connect at first use, so that a worker starts even if a service is unavailable."""
    open_client = partial(open_http_client, faults=faults, transport=settings.http_transport)
    async with (
        open_client(settings.users_url, to="users") as users,
        open_client(settings.orders_url, to="orders") as orders,
        open_client(settings.notifications_url, to="notifications") as notifications,
    ):
        token = ServiceToken(users=users, secret=settings.workers_client_secret)
        smtp = SmtpServer(host=settings.smtp_host, port=settings.smtp_port, sender=settings.mail_from)
        reports = ReportsClient(http=orders, token=token)
        publishers = {
            "users": RemoteCleanup(http=users, token=token),
            "orders": RemoteCleanup(http=orders, token=token),
        }
        yield JobContext(
            users=UsersClient(http=users, token=token),
            orders=OrdersClient(http=orders, token=token),
            mailer=Mailer(database=database, smtp=smtp, max_concurrent_sends=settings.smtp_connections),
            cleanup_targets={
                **publishers,
                "notifications": RemoteCleanup(http=notifications, token=token),
                "workers": local_cleanup(database=database, retention=timedelta(days=settings.job_retention_days)),
            },
            publishers=publishers,
            reports=reports,
            report_generator=ReportGenerator(orders=reports, files=ReportFiles(store=open_object_store(settings))),
            fulfil_step_s=settings.fulfil_step_seconds,
        )
