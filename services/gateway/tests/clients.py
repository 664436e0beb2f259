"""Connections for requests that an HTTP client cannot send, and the results of responses."""

import asyncio

import httpx

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_connection(
    gateway: httpx.AsyncClient, *, local_host: str = "127.0.0.1", limit: int = 65_536
) -> Connection:
    """Open a TCP connection from `local_host` to the gateway.

    The reader stops reading from the socket while it holds more than twice `limit` bytes.
    """
    url = gateway.base_url
    return await asyncio.open_connection(url.host, url.port, local_addr=(local_host, 0), limit=limit)


def get_result(response: httpx.Response) -> str:
    """Return `ok` for the status 200, otherwise the slug of the problem."""
    return "ok" if response.status_code == 200 else str(response.json()["type"]).rpartition("/")[2]
