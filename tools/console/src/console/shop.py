"""The client of the shop for the commands. Its errors end a command."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from console.failures import FailedError
from hopline_client import api
from hopline_client.api import ProblemError
from hopline_client.backoff import NO_RETRIES
from hopline_client.device import DisconnectedError
from hopline_client.models import Product
from hopline_client.rest import Client, open_client

_READY_PAUSE_S = 0.25


@asynccontextmanager
async def open_shop(gateway: str, *, timeout_s: float = 10.0) -> AsyncIterator[Client]:
    """Yield a client that sends each request once. Errors of the client within the block are raised as FailedError."""
    try:
        async with open_client(gateway, retry_policy=NO_RETRIES, timeout_s=timeout_s) as shop:
            yield shop
    except httpx.ConnectError as error:
        raise FailedError(f"cannot connect to {gateway}: run make up") from error
    except (ProblemError, DisconnectedError, httpx.TransportError) as error:
        raise FailedError(str(error) or type(error).__name__) from error


async def wait_until_ready(shop: Client, *, timeout_s: float) -> str:
    """Return the state of the gateway, `ready` or `degraded`, after waiting at most `timeout_s` seconds for `ready`.

    Raises FailedError if it is neither.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        response = await shop.http.get("/health/ready")
        state = _state(response)
        if state == "ready" or time.monotonic() > deadline:
            break
        await asyncio.sleep(_READY_PAUSE_S)
    if not state:
        raise FailedError(f"the stack is not ready ({_describe_unready(response)}): see make status and make logs")
    return state


async def list_available_products(shop: Client) -> list[Product]:
    """Return the first products that are in stock. Raises FailedError if there are none."""
    products = (await shop.call(api.list_products(limit=50)))["items"]
    if available := [product for product in products if product["available"] > 0]:
        return available
    raise FailedError("no product is in stock: make clean starts over with a full catalog")


def trace_id_of(response: httpx.Response) -> str:
    """Return the trace id of a response. Raises FailedError if its header has none."""
    if found := api.trace_id(response):
        return found
    raise FailedError(f"{response.request.url.path} returned no readable traceresponse header")


def _state(response: httpx.Response) -> str:
    """Return `ready` or `degraded`, "" for an error response or the response of another server."""
    try:
        return str(response.json()["status"]) if response.is_success else ""
    except (ValueError, KeyError, TypeError):
        return ""


def _describe_unready(response: httpx.Response) -> str:
    """Return the failed dependencies, or the HTTP status if the response does not list them."""
    try:
        dependencies = response.json()["dependencies"].items()
        down = [f"{name}: {state.get('error') or state['status']}" for name, state in dependencies if state["error"]]
    except (ValueError, KeyError, AttributeError, TypeError):
        down = []
    return "; ".join(down) or f"GET {response.request.url} got {response.status_code}"
