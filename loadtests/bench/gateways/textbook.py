"""The dashboard as in tutorials.

It uses BaseHTTPMiddleware and the defaults of httpx and of the instrumentations, and decodes and encodes JSON. Like
Hopline's gateway it verifies the token, calls the services concurrently, tolerates their failures, writes an access log
record, has one client per process and exports spans in batches. It has no limits, retries, metrics or exported logs.
"""

import asyncio
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Annotated, Any

import httpx
import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import Response

log = logging.getLogger("textbook")

UPSTREAM_URL = os.environ.get("UPSTREAM_URL", "")


class AccessLogMiddleware(BaseHTTPMiddleware):
    """Writes one log record per request, with an id."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Serve one request."""
        request_id = request.headers.get("X-Request-ID") or uuid.uuid4().hex
        started = time.perf_counter()
        response = await call_next(request)
        response.headers["X-Request-ID"] = request_id
        milliseconds = (time.perf_counter() - started) * 1000
        log.info("%s %s %s %d %.2f", request_id, request.method, request.url.path, response.status_code, milliseconds)
        return response


@lru_cache
def jwks_client() -> jwt.PyJWKClient:
    """Return the client for the keys of tokens, which caches them for five minutes."""
    return jwt.PyJWKClient(f"{UPSTREAM_URL}/.well-known/jwks.json")


def verify_token(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> dict[str, Any]:
    """Return the claims of the caller's token."""
    try:
        key = jwks_client().get_signing_key_from_jwt(credentials.credentials)
        claims: dict[str, Any] = jwt.decode(credentials.credentials, key, algorithms=["EdDSA"], audience="hopline")
    except jwt.InvalidTokenError as error:
        raise HTTPException(status_code=401, detail="invalid token") from error
    return claims


async def fetch(client: httpx.AsyncClient, path: str, token: str) -> Any:
    """Return one part of the dashboard, or None if its service is unavailable."""
    try:
        response = await client.get(f"{UPSTREAM_URL}{path}", headers={"Authorization": token})
        response.raise_for_status()
    except httpx.HTTPError:
        return None
    return response.json()


async def read_dashboard(request: Request, _claims: Annotated[dict[str, Any], Depends(verify_token)]) -> dict[str, Any]:
    """Call three services in parallel and combine their responses."""
    client, token = request.app.state.client, request.headers["Authorization"]
    user, orders, notifications = await asyncio.gather(
        fetch(client, "/users/me", token),
        fetch(client, "/orders/recent?limit=5", token),
        fetch(client, "/notifications/summary?latest=5", token),
    )
    parts = {"users": user, "orders": orders, "notifications": notifications}
    return {
        "user": user,
        "recent_orders": orders,
        "notifications": notifications,
        "degraded": [name for name, part in parts.items() if part is None],
    }


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the HTTP client of the process."""
    async with httpx.AsyncClient() as client:
        app.state.client = client
        yield


def create_app() -> FastAPI:
    """Return the application. UPSTREAM_URL is the address of all three services and of the receiver of telemetry."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    provider = TracerProvider(resource=Resource.create({"service.name": "textbook"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{UPSTREAM_URL}/v1/traces")))
    trace.set_tracer_provider(provider)
    HTTPXClientInstrumentor().instrument()
    app = FastAPI(lifespan=lifespan, default_response_class=JSONResponse)
    app.add_middleware(AccessLogMiddleware)
    app.get("/v2/dashboard")(read_dashboard)
    FastAPIInstrumentor.instrument_app(app)
    return app
