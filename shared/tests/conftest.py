from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from fastapi import APIRouter, FastAPI, Query
from pydantic import BaseModel

from shared.auth import AdminIdentity, CurrentIdentity, JwksCache, TokenVerifier
from shared.config import ServiceSettings, TokenSettings
from shared.errors.problems import ConflictError
from shared.web.app import build_app
from testkit.sample_service import SampleService, open_sample_service
from testkit.tokens import TokenIssuer


class OutOfPaperError(ConflictError):
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
    raise OutOfPaperError("The tray is empty")


@router.get("/bug")
async def bug() -> Note:
    raise RuntimeError("a secret detail of ann@hopline.example")


@router.get("/unreachable")
async def unreachable() -> Note:
    raise ConnectionRefusedError("no server")


@router.get("/me")
async def me(identity: CurrentIdentity) -> dict[str, str]:
    return {"user_id": str(identity.user_id), "role": identity.role}


@router.get("/admin")
async def admin(_identity: AdminIdentity) -> dict[str, str]:
    return {}


@pytest.fixture
def small_app(token_issuer: TokenIssuer, capsys: pytest.CaptureFixture[str]) -> FastAPI:
    """A service with a few routes. Its log records are written to capsys."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def published() -> dict[str, object]:
            return token_issuer.jwks

        app.state.token_verifier = TokenVerifier(keys=JwksCache(fetch=published), settings=TestSettings())
        yield

    return build_app(name="small", settings=TestSettings(), lifespan=lifespan, routers=[router], summary="for tests")


class TestSettings(TokenSettings, ServiceSettings):
    __test__ = False
    drain_seconds: float = 0


@pytest.fixture
async def sample(database: str, redis_url: str) -> AsyncIterator[SampleService]:
    """A service that publishes and consumes events, with an empty database and an empty Redis."""
    async with open_sample_service(database_url=database, redis_url=redis_url) as opened:
        yield opened
