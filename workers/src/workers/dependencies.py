"""What job functions work with, opened once per process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from shared.database import Database
from shared.faults import Faults
from shared.http import open_http_client
from shared.objects import open_object_store
from workers.clients import OrdersClient, ServiceToken, UsersClient
from workers.emails import Mailer, SmtpServer
from workers.housekeeping import Housekeeper, Place, own_housekeeping
from workers.reports.client import ReportsClient
from workers.reports.files import ReportFolder
from workers.reports.maker import ReportMaker
from workers.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The collaborators of every job function; `fulfil_step_s` is the pause between packing and shipping.

    `housekeepers` are by the name of the place, `publishers` those of them with an outbox.
    """

    users: UsersClient
    orders: OrdersClient
    mailer: Mailer
    housekeepers: Mapping[str, Housekeeper]
    publishers: Mapping[str, Place]
    reports: ReportsClient
    report_maker: ReportMaker
    fulfil_step_s: float


@asynccontextmanager
async def open_tools(settings: Settings, *, database: Database, faults: Faults) -> AsyncIterator[Tools]:
    """Open the HTTP clients; they connect at first use, so that users, orders and SMTP are not needed to start."""
    async with (
        open_http_client(settings.users_url, to="users", faults=faults) as users,
        open_http_client(settings.orders_url, to="orders", faults=faults) as orders,
        open_http_client(settings.notifications_url, to="notifications", faults=faults) as notifications,
    ):
        token = ServiceToken(users=users, secret=settings.workers_client_secret)
        smtp = SmtpServer(host=settings.smtp_host, port=settings.smtp_port, sender=settings.mail_from)
        reports = ReportsClient(http=orders, token=token)
        publishers = {"users": Place(http=users, token=token), "orders": Place(http=orders, token=token)}
        yield Tools(
            users=UsersClient(http=users, token=token),
            orders=OrdersClient(http=orders, token=token),
            mailer=Mailer(database=database, smtp=smtp, at_once=settings.smtp_connections),
            housekeepers={
                **publishers,
                "notifications": Place(http=notifications, token=token),
                "workers": own_housekeeping(database=database, jobs_kept=timedelta(days=settings.jobs_kept_days)),
            },
            publishers=publishers,
            reports=reports,
            report_maker=ReportMaker(orders=reports, folder=ReportFolder(store=open_object_store(settings))),
            fulfil_step_s=settings.fulfil_step_seconds,
        )
