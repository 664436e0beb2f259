"""The server of the benchmark `json`: one page of orders as JSON, in four ways that FastAPI applications use.

Every route starts from the same orders and sends the same JSON value.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, TypeAdapter
from starlette.responses import Response

ORDERS = 20
ITEMS = 3
"""Number of items of each order."""


@dataclass(frozen=True)
class ItemRow:
    """An item of an order, as a repository returns it."""

    sku: str
    name: str
    quantity: int
    unit_price_cents: int


@dataclass(frozen=True)
class OrderRow:
    """An order, as a repository returns it."""

    id: UUID
    status: str
    total_cents: int
    currency: str
    created_at: datetime
    items: list[ItemRow]


class Item(BaseModel):
    """The wire shape of `ItemRow`."""

    model_config = ConfigDict(from_attributes=True)

    sku: str
    name: str
    quantity: int
    unit_price_cents: int


class Order(BaseModel):
    """The wire shape of `OrderRow`."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    status: str
    total_cents: int
    currency: str
    created_at: datetime
    items: list[Item]


ROWS = [
    OrderRow(
        id=UUID(int=number),
        status="shipped",
        total_cents=1290 * ITEMS,
        currency="EUR",
        created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number, microseconds=123456),
        items=[ItemRow(f"MUG-{item}", "Enamel mug, blue, 350 ml", 1 + item, 1290) for item in range(ITEMS)],
    )
    for number in range(ORDERS)
]
ADAPTER = TypeAdapter(list[Order])
MODELS = ADAPTER.validate_python(ROWS, from_attributes=True)


def json_module() -> Response:
    """Encode by `jsonable_encoder` and the json module, as FastAPI does for a route without a response model."""
    return JSONResponse(jsonable_encoder(ROWS))


def orjson_only() -> Response:
    """Encode by orjson, which reads dataclasses, UUIDs and datetimes itself. Nothing validates the rows."""
    return Response(orjson.dumps(ROWS), media_type="application/json")


def pydantic_only() -> Response:
    """Serialise by pydantic from models that were created before the measurement."""
    return Response(ADAPTER.dump_json(MODELS), media_type="application/json")


def response_model() -> list[OrderRow]:
    """Return the rows: FastAPI validates them against the response model and serialises them by pydantic."""
    return ROWS


def create_app() -> FastAPI:
    """Return an application with one route for each of the functions above."""
    app = FastAPI()
    for function in (json_module, orjson_only, pydantic_only):
        app.add_api_route(f"/{function.__name__}", in_loop(function), response_model=None)
    app.add_api_route("/response_model", in_loop(response_model), response_model=list[Order])
    return app


def in_loop(function: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    """Return a coroutine function that calls `function`. FastAPI would run `function` itself in a thread."""

    async def route() -> Any:
        return function()

    return route
