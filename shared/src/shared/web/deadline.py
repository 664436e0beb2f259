"""Cancellation of requests at their deadline."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.context import GRACE_S, remaining_s
from shared.errors.problems import DeadlineExceededError


class DeadlineMiddleware:
    """ASGI middleware that cancels a request at its deadline, so that the transaction is rolled back.

    `RequestContextMiddleware` sets the deadline, which applies until the response begins. `grace_s` is the time in
    seconds after the deadline in which a pending statement or call can end by itself.
    """

    def __init__(self, app: ASGIApp, *, grace_s: float = GRACE_S) -> None:
        self._app = app
        self._grace_s = grace_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            DeadlineExceededError: The response did not begin in time.
        """
        seconds = remaining_s() if scope["type"] == "http" else None
        if seconds is None:
            await self._app(scope, receive, send)
            return
        if seconds <= 0:
            raise DeadlineExceededError

        async def end_timeout_and_send(message: Message) -> None:
            if message["type"] == "http.response.start" and not timeout.expired():
                timeout.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(seconds + self._grace_s) as timeout:
                await self._app(scope, receive, end_timeout_and_send)
        except TimeoutError:
            if timeout.expired():
                raise DeadlineExceededError from None
            raise
