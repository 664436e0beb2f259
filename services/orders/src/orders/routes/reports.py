"""Reports: for those who want one, and for the worker that makes it."""

from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from orders.dependencies import ReportFilesDep, ReportsDep, Scope, VisibleOwner
from orders.models import Report, ReportFormat
from orders.schemas import NewReport, OrderOut, ReportFailure, ReportFile, ReportOut, ReportProgress, ReportWork
from shared.numbers import DIGITS
from shared.openapi import header, problem
from shared.pages import Cursor, Page
from shared.tokens import CurrentIdentity, ServiceIdentity

reports = APIRouter(prefix="/reports", tags=["reports"])
internal = APIRouter(prefix="/internal/reports", tags=["internal"])

NO_REPORT: Final[dict[int | str, dict[str, Any]]] = {404: problem("No such report, or not yours")}
FILE_SCHEMA: Final = {"schema": {"type": "string", "format": "binary"}}

MEDIA_TYPES: Final = {ReportFormat.CSV: "text/csv; charset=utf-8", ReportFormat.PDF: "application/pdf"}

OrdersAtOnce = Annotated[int, Query(ge=1, le=1000, description="How many orders at most"), DIGITS]


@reports.post(
    "",
    status_code=202,
    summary="Ask for a report on your orders; as an admin, on everybody's",
    responses={
        202: {"headers": {"Location": header("Path of the report, to follow it")}},
        422: problem("A field is wrong, or the period: backwards, too long, or not begun yet"),
    },
)
async def request_report(
    wanted: NewReport, identity: CurrentIdentity, scope: Scope, reports: ReportsDep, response: Response
) -> ReportOut:
    """Ask for a report on one's own orders, or as an admin on everybody's; it is made in the background."""
    report = await reports.request(wanted, user_id=identity.user_id, scope=scope)
    response.headers["Location"] = f"/reports/{report.id}"
    return report


@reports.get("/{report_id}", summary="How far a report of yours is", responses=NO_REPORT)
async def read_report(report_id: UUID, owner: VisibleOwner, reports: ReportsDep) -> ReportOut:
    """How far a report is, and where its file can be had."""
    return await reports.get(report_id, owner=owner)


@reports.get(
    "/{report_id}/download",
    response_class=StreamingResponse,
    summary="The file of a report of yours",
    responses={
        200: {
            "content": {"text/csv": FILE_SCHEMA, "application/pdf": FILE_SCHEMA},
            "headers": {
                "Content-Disposition": header("File name"),
                "Content-Length": header("Size in bytes"),
            },
        },
        **NO_REPORT,
        409: problem("It has no file, or not yet"),
    },
)
async def download_report(
    report_id: UUID, owner: VisibleOwner, reports: ReportsDep, files: ReportFilesDep
) -> StreamingResponse:
    """The report's file, as it is read from its store."""
    report = await reports.done(report_id, owner=owner)
    file = await files.open(report.object_key)
    headers = {
        "Content-Length": str(file.size_bytes),
        "Content-Disposition": f'attachment; filename="{_file_name(report)}"',
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(file.chunks, headers=headers, media_type=MEDIA_TYPES[report.format])


@internal.post("/{report_id}/begin")
async def begin_report(report_id: UUID, _identity: ServiceIdentity, reports: ReportsDep) -> ReportWork:
    """Take a report up, also again; 409 where it is finished."""
    return await reports.begin(report_id)


@internal.get("/{report_id}/orders")
async def list_orders_of_report(
    report_id: UUID, _identity: ServiceIdentity, reports: ReportsDep, limit: OrdersAtOnce = 500, cursor: Cursor = None
) -> Page[OrderOut]:
    """The orders that are in a report, oldest first."""
    return await reports.orders(report_id, limit=limit, cursor=cursor)


@internal.post("/{report_id}/progress")
async def advance_report(
    report_id: UUID, made: ReportProgress, _identity: ServiceIdentity, reports: ReportsDep
) -> ReportOut:
    """Tell progress, which only grows; 409 where the report is finished."""
    return await reports.advance(report_id, made.progress)


@internal.post("/{report_id}/finish")
async def finish_report(
    report_id: UUID, file: ReportFile, _identity: ServiceIdentity, reports: ReportsDep
) -> ReportOut:
    """Say that the file is there; saying it again changes nothing; 409 where the report has failed."""
    return await reports.finish(report_id, size_bytes=file.size_bytes)


@internal.post("/{report_id}/fail")
async def fail_report(
    report_id: UUID, failure: ReportFailure, _identity: ServiceIdentity, reports: ReportsDep
) -> ReportOut:
    """Say that there will be no file; saying it again changes nothing, and 409 where the report is done."""
    return await reports.fail(report_id, reason=failure.reason)


def _file_name(report: Report) -> str:
    """Say `orders-2026-11-01-to-2026-11-25.csv`, last day included: our own words and digits, safe in any header."""
    last = report.period_to - timedelta(microseconds=1)
    return f"{report.kind}-{report.period_from:%Y-%m-%d}-to-{last:%Y-%m-%d}.{report.format}"
