"""Fault injection into calls of httpx."""

import asyncio

import httpx

from shared.faults.injection import FaultInjectedError, error_body, inject
from shared.faults.watcher import ActiveFaults

_PROBES = "/health/"


class FaultInjectionTransport(httpx.AsyncBaseTransport):
    """An httpx transport that injects the active faults into calls to `target`."""

    def __init__(self, *, transport: httpx.AsyncBaseTransport, faults: ActiveFaults, target: str) -> None:
        self._transport = transport
        self._faults = faults
        self._target = target

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request unless a fault replaces the call; raises httpx.TransportError."""
        fault = self._faults.match(self._target, is_probe=request.url.path.startswith(_PROBES))
        if fault is None:
            return await self._transport.handle_async_request(request)
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("read")):
                is_replaced = await inject(fault)
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"an injected fault made {self._target} {fault.kind}", request=request) from error
        except ConnectionResetError as error:
            raise httpx.ReadError(str(error), request=request) from error
        if is_replaced:
            body = error_body(fault, path=request.url.path)
            headers = {"Content-Type": "application/problem+json", "Content-Length": str(len(body))}
            return httpx.Response(FaultInjectedError.status, headers=headers, stream=httpx.ByteStream(body))
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._transport.aclose()
