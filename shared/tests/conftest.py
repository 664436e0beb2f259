from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from fastapi import APIRouter, FastAPI, Query
from pydantic import BaseModel

from shared.app import build_app
from shared.errors import Conflict
from shared.settings import ServiceSettings, TokenSettings
from shared.tokens import AdminIdentity, CurrentIdentity, Jwks, TokenVerifier
from testkit.tokens import TokenIssuer


class OutOfPaper(Conflict):
    slug, title = "out-of-paper", "There is no paper left"


class Note(BaseModel):
    text: str
    copies: Annotated[int, Query(ge=1)] = 1


router = APIRouter()


@router.post("/notes/{kind}")
async def write(kind: int, note: Note) -> Note:
    return note


@router.get("/paper")
async def paper() -> Note:
    raise OutOfPaper("The tray is empty")


@router.get("/bug")
async def bug() -> Note:
    raise RuntimeError("a secret detail of ann@hopline.example")


@router.get("/refused")
async def refused() -> Note:
    raise ConnectionRefusedError("nobody listens")


@router.get("/me")
async def me(identity: CurrentIdentity) -> dict[str, str]:
    return {"user_id": str(identity.user_id), "role": identity.role}


@router.get("/admin")
async def admin(_identity: AdminIdentity) -> dict[str, str]:
    return {}


@pytest.fixture
def small_app(token_issuer: TokenIssuer, capsys: pytest.CaptureFixture[str]) -> FastAPI:
    """A service with nothing of its own but a few routes; it logs to capsys."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def published() -> dict[str, object]:
            return token_issuer.jwks

        app.state.token_verifier = TokenVerifier(keys=Jwks(fetch=published), settings=TestSettings())
        yield

    return build_app(name="small", settings=TestSettings(), lifespan=lifespan, routers=[router], summary="for tests")


class TestSettings(TokenSettings, ServiceSettings):
    __test__ = False
    drain_seconds: float = 0
