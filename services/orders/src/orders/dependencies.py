"""Services, clients and parameters of a request."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request
from pydantic import WithJsonSchema

from orders.clients import ReportFileClient
from orders.events import OrderEvents, ReportEvents
from orders.models import ReportScope
from orders.repository.catalog import CatalogRepository
from orders.repository.orders import OrderRepository
from orders.repository.reports import ReportRepository
from orders.repository.sales import SalesRepository
from orders.service import CatalogService, OrderService, ReportOptions, ReportService, SalesService
from orders.settings import Settings, get_settings
from shared.auth import CurrentIdentity, Role
from shared.db.session import SessionDep

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Identifies this order among yours. A retry with the same key gets the same response and places "
        "no second order",
    ),
    WithJsonSchema(  # without the pattern: a published schema is never narrowed
        {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["4f6c0f0e-8a5e-4c5b-9f0e-2d1b7c3a9e10"]}
    ),
]
"""1 to 255 visible ASCII characters, compared byte by byte. A UUID is a good key."""

SettingsDep = Annotated[Settings, Depends(get_settings)]


async def get_catalog_service(session: SessionDep) -> CatalogService:
    """Return the catalog in the request's transaction."""
    return CatalogService(products=CatalogRepository(session=session))


async def get_order_service(session: SessionDep) -> OrderService:
    """Return the orders in the request's transaction."""
    catalog = CatalogService(products=CatalogRepository(session=session))
    return OrderService(orders=OrderRepository(session=session), catalog=catalog, events=OrderEvents(session=session))


async def get_sales_service(session: SessionDep) -> SalesService:
    """Return the sales in the request's transaction."""
    return SalesService(sales=SalesRepository(session=session))


async def get_report_service(settings: SettingsDep, session: SessionDep) -> ReportService:
    """Return the reports in the request's transaction."""
    return ReportService(
        reports=ReportRepository(session=session),
        events=ReportEvents(session=session),
        options=ReportOptions.from_settings(settings),
    )


async def get_report_files(request: Request) -> ReportFileClient:
    """Return a client of the process's object store."""
    return ReportFileClient(store=request.app.state.objects)


async def get_visible_owner(identity: CurrentIdentity) -> UUID | None:
    """Return the user whose orders and reports the caller may use; None for admins, who may use all."""
    return None if identity.role is Role.ADMIN else identity.user_id


async def get_report_scope(identity: CurrentIdentity) -> ReportScope:
    """Return the scope of the reports that the caller requests."""
    return ReportScope.ALL if identity.role is Role.ADMIN else ReportScope.OWN


CatalogDep = Annotated[CatalogService, Depends(get_catalog_service)]
OrdersDep = Annotated[OrderService, Depends(get_order_service)]
SalesDep = Annotated[SalesService, Depends(get_sales_service)]
ReportsDep = Annotated[ReportService, Depends(get_report_service)]
ReportFilesDep = Annotated[ReportFileClient, Depends(get_report_files)]
VisibleOwner = Annotated[UUID | None, Depends(get_visible_owner)]
Scope = Annotated[ReportScope, Depends(get_report_scope)]
