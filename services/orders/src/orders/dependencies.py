"""Who gets built for a request, and what a request must bring."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request
from pydantic import WithJsonSchema

from orders.clients import ReportFiles
from orders.events import OrderEvents, ReportEvents
from orders.models import ReportScope
from orders.repository.catalog import CatalogRepository
from orders.repository.orders import OrderRepository
from orders.repository.reports import ReportRepository
from orders.repository.sales import SalesRepository
from orders.service import Catalog, Orders, ReportRules, Reports, Sales
from orders.settings import Settings, get_settings
from shared.session import SessionDep
from shared.tokens import CurrentIdentity, Role

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Names this order among yours: a retry with the same key gets the same response, no second order",
    ),
    WithJsonSchema(  # as published, which is never narrowed: without the pattern
        {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["4f6c0f0e-8a5e-4c5b-9f0e-2d1b7c3a9e10"]}
    ),
]
"""1 to 255 visible ASCII characters, compared as they are; a UUID is a good one."""


SettingsDep = Annotated[Settings, Depends(get_settings)]


async def catalog(session: SessionDep) -> Catalog:
    """The catalog within this request's transaction."""
    return Catalog(products=CatalogRepository(session=session))


async def orders(session: SessionDep) -> Orders:
    """Orders within this request's transaction."""
    catalog = Catalog(products=CatalogRepository(session=session))
    return Orders(orders=OrderRepository(session=session), catalog=catalog, events=OrderEvents(session=session))


async def sales(session: SessionDep) -> Sales:
    """Figures within this request's transaction."""
    return Sales(sales=SalesRepository(session=session))


async def report_files(request: Request) -> ReportFiles:
    """The files in the process's object store."""
    return ReportFiles(store=request.app.state.objects)


async def reports(settings: SettingsDep, session: SessionDep) -> Reports:
    """Reports within this request's transaction."""
    return Reports(
        reports=ReportRepository(session=session),
        events=ReportEvents(session=session),
        rules=ReportRules.of(settings),
    )


async def visible_owner(identity: CurrentIdentity) -> UUID | None:
    """Whose orders and reports the caller may see, and whose orders cancel: None is everybody's, for admins."""
    return None if identity.role is Role.ADMIN else identity.user_id


async def report_scope(identity: CurrentIdentity) -> ReportScope:
    """Whose orders are in the reports that the caller asks for."""
    return ReportScope.ALL if identity.role is Role.ADMIN else ReportScope.OWN


CatalogDep = Annotated[Catalog, Depends(catalog)]
OrdersDep = Annotated[Orders, Depends(orders)]
SalesDep = Annotated[Sales, Depends(sales)]
ReportFilesDep = Annotated[ReportFiles, Depends(report_files)]
ReportsDep = Annotated[Reports, Depends(reports)]
VisibleOwner = Annotated[UUID | None, Depends(visible_owner)]
Scope = Annotated[ReportScope, Depends(report_scope)]
