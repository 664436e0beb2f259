"""Fault switches, for admins, in development (`shared.faults`). No client may rely on them: the document has none."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.dependencies import FaultStoreDep
from gateway.schemas import FaultsOn, NewFault
from gateway.settings import Settings
from shared.faults import Fault
from shared.settings import Environment
from shared.tokens import AdminIdentity

router = APIRouter(prefix="/faults", include_in_schema=False)

Name = Annotated[str | None, Query(max_length=50)]


def routers(settings: Settings) -> list[APIRouter]:
    """The switches where they may exist; elsewhere nothing, so that they are not found."""
    return [router] if settings.environment is Environment.DEVELOPMENT else []


@router.post("", status_code=201)
async def switch_on(wanted: NewFault, _caller: AdminIdentity, store: FaultStoreDep) -> Fault:
    """Switch a fault on; every process of its source knows within a second."""
    fault = wanted.fault()
    await store.switch_on(fault)
    return fault


@router.get("")
async def list_faults(_caller: AdminIdentity, store: FaultStoreDep) -> FaultsOn:
    """Say what is on."""
    return FaultsOn(items=await store.all())


@router.delete("", status_code=204)
async def switch_off(_caller: AdminIdentity, store: FaultStoreDep, source: Name = None, target: Name = None) -> None:
    """Switch off what is between these, or everything."""
    await store.clear(source=source, target=target)
