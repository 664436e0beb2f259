"""Routes of reports: for users, and for the worker that writes their files."""

from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from orders import models
from orders.dependencies import ReportFilesDep, ReportsDep, Scope, VisibleOwner
from orders.models import ReportFormat
from orders.schemas import Order, Report, ReportCreate, ReportFailure, ReportFile, ReportJob, ReportProgress
from shared.auth import CurrentIdentity, ServiceIdentity
from shared.validation.numbers import DIGITS
from shared.web.openapi import document_header, document_problem
from shared.web.pagination import Cursor, Page

reports_router = APIRouter(prefix="/reports", tags=["reports"])
internal_reports_router = APIRouter(prefix="/internal/reports", tags=["internal"])

REPORT_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {404: document_problem("No such report, or not yours")}
FILE_SCHEMA: Final = {"schema": {"type": "string", "format": "binary"}}

MEDIA_TYPES: Final = {ReportFormat.CSV: "text/csv; charset=utf-8", ReportFormat.PDF: "application/pdf"}

ReportOrdersLimit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of orders"), DIGITS]


@reports_router.post(
    "",
    status_code=202,
    summary="Request a report on your orders, or as an admin on all orders",
    responses={
        202: {"headers": {"Location": document_header("Path of the report, which has its progress")}},
        422: document_problem(
            "A field is wrong, or the period ends before it starts, is too long or starts in the future"
        ),
    },
)
async def request_report(
    body: ReportCreate, identity: CurrentIdentity, scope: Scope, reports: ReportsDep, response: Response
) -> Report:
    """Request a report on the caller's orders, or as an admin on all orders. It is created in the background."""
    report = await reports.request_report(body, user_id=identity.user_id, scope=scope)
    response.headers["Location"] = f"/reports/{report.id}"
    return report


@reports_router.get("/{report_id}", summary="Get the progress of one of your reports", responses=REPORT_NOT_FOUND)
async def read_report(report_id: UUID, owner: VisibleOwner, reports: ReportsDep) -> Report:
    """Return the progress of a report and the URL of its file."""
    return await reports.get_report(report_id, owner=owner)


@reports_router.get(
    "/{report_id}/download",
    response_class=StreamingResponse,
    summary="Download the file of one of your reports",
    responses={
        200: {
            "content": {"text/csv": FILE_SCHEMA, "application/pdf": FILE_SCHEMA},
            "headers": {
                "Content-Disposition": document_header("File name"),
                "Content-Length": document_header("Size in bytes"),
            },
        },
        **REPORT_NOT_FOUND,
        409: document_problem("The report is not done, or has no file"),
    },
)
async def download_report(
    report_id: UUID, owner: VisibleOwner, reports: ReportsDep, files: ReportFilesDep
) -> StreamingResponse:
    """Stream the file of a report from the object store."""
    report = await reports.get_finished_report(report_id, owner=owner)
    file = await files.open_file(report.object_key)
    headers = {
        "Content-Length": str(file.size_bytes),
        "Content-Disposition": f'attachment; filename="{_file_name(report)}"',
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(file.chunks, headers=headers, media_type=MEDIA_TYPES[report.format])


@internal_reports_router.post("/{report_id}/begin")
async def begin_report(report_id: UUID, _identity: ServiceIdentity, reports: ReportsDep) -> ReportJob:
    """Mark a report as running and return its job. Repeating it changes nothing. 409 if the report is finished."""
    return await reports.begin_report(report_id)


@internal_reports_router.get("/{report_id}/orders")
async def list_report_orders(
    report_id: UUID,
    _identity: ServiceIdentity,
    reports: ReportsDep,
    limit: ReportOrdersLimit = 500,
    cursor: Cursor = None,
) -> Page[Order]:
    """List the orders of a report, oldest first."""
    return await reports.list_report_orders(report_id, limit=limit, cursor=cursor)


@internal_reports_router.post("/{report_id}/progress")
async def update_report_progress(
    report_id: UUID, body: ReportProgress, _identity: ServiceIdentity, reports: ReportsDep
) -> Report:
    """Store the progress of a report. A smaller value is ignored. 409 if the report is finished."""
    return await reports.update_progress(report_id, body.progress)


@internal_reports_router.post("/{report_id}/finish")
async def finish_report(report_id: UUID, body: ReportFile, _identity: ServiceIdentity, reports: ReportsDep) -> Report:
    """Mark a report as done. Repeating it changes nothing. 409 if the report has failed."""
    return await reports.finish_report(report_id, size_bytes=body.size_bytes)


@internal_reports_router.post("/{report_id}/fail")
async def fail_report(report_id: UUID, body: ReportFailure, _identity: ServiceIdentity, reports: ReportsDep) -> Report:
    """Mark a report as failed. Repeating it changes nothing. 409 if the report is done."""
    return await reports.fail_report(report_id, reason=body.reason)


def _file_name(report: models.Report) -> str:
    """Return a name such as `orders-2026-11-01-to-2026-11-25.csv`, which includes the last day."""
    last = report.period_to - timedelta(microseconds=1)
    return f"{report.kind}-{report.period_from:%Y-%m-%d}-to-{last:%Y-%m-%d}.{report.format}"
