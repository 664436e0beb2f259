"""A small service over HTTP, and a service with events, for the tests of all folders."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field

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
    copies: Annotated[int, Field(ge=1)] = 1


class SmallSettings(TokenSettings, ServiceSettings):
    drain_seconds: float = 0


router = APIRouter()


@router.post("/notes/{kind}")
async def create_note(kind: int, note: Note) -> Note:
    return note


@router.get("/paper")
async def get_paper() -> Note:
    raise OutOfPaperError("The tray is empty")


@router.get("/bug")
async def raise_runtime_error() -> Note:
    raise RuntimeError("a secret detail of ann@hopline.example")


@router.get("/unreachable")
async def raise_connection_error() -> Note:
    raise ConnectionRefusedError("no server")


@router.get("/me")
async def get_identity(identity: CurrentIdentity) -> dict[str, str]:
    return {"user_id": str(identity.user_id), "role": identity.role}


@router.get("/admin")
async def require_admin(_identity: AdminIdentity) -> dict[str, str]:
    return {}


@pytest.fixture
def small_app(token_issuer: TokenIssuer, capsys: pytest.CaptureFixture[str]) -> FastAPI:
    """A service with a few routes. Its log records are written to capsys."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def fetch_keys() -> dict[str, object]:
            return token_issuer.jwks

        app.state.token_verifier = TokenVerifier(keys=JwksCache(fetch=fetch_keys), settings=SmallSettings())
        yield

    return build_app(name="small", settings=SmallSettings(), lifespan=lifespan, routers=[router], summary="for tests")


@pytest.fixture
async def sample(database: str, redis_url: str) -> AsyncIterator[SampleService]:
    """A service that publishes and consumes events, with an empty database and an empty Redis."""
    async with open_sample_service(database_url=database, redis_url=redis_url) as opened:
        yield opened
