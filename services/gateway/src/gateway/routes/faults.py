"""Fault switches for admins, in development (`shared.faults`). They are not part of the documented API."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.dependencies import FaultStoreDep
from gateway.schemas import FaultCreate, FaultList
from gateway.settings import Settings
from shared.auth import AdminIdentity
from shared.config import Environment
from shared.faults import Fault

router = APIRouter(prefix="/faults", include_in_schema=False)

Name = Annotated[str | None, Query(max_length=50)]


def get_routers(settings: Settings) -> list[APIRouter]:
    """Return the routes in development; none elsewhere, so that requests get 404."""
    return [router] if settings.environment is Environment.DEVELOPMENT else []


@router.post("", status_code=201)
async def switch_on(body: FaultCreate, _caller: AdminIdentity, store: FaultStoreDep) -> Fault:
    """Switch a fault on. Every process of its source reads it within a second."""
    fault = body.fault()
    await store.switch_on(fault)
    return fault


@router.get("")
async def list_faults(_caller: AdminIdentity, store: FaultStoreDep) -> FaultList:
    """List the active faults."""
    return FaultList(items=await store.all())


@router.delete("", status_code=204)
async def switch_off(_caller: AdminIdentity, store: FaultStoreDep, source: Name = None, target: Name = None) -> None:
    """Switch off the faults between `source` and `target`, by default all."""
    await store.clear(source=source, target=target)
