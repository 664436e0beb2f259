"""A customer who acts during every fault, repeats requests with the same key, and records the outcome."""

import asyncio
import random
from uuid import uuid4

import httpx

from chaos.history import NO_RESPONSE, Action, History, Operation, Outcome
from hopline_client import api
from hopline_client.api import Request
from testkit.shopper import PASSWORD, Shopper

TIMEOUT_S = 6.0
"""Timeout of one response."""

_DEADLINE = {"X-Request-Timeout-Ms": "5000"}
"""The services end a request before the timeout of the customer. Otherwise it could take effect after the check."""

_ATTEMPTS = 5
_MAX_PAUSE_S = 1.0
MAX_OPERATION_S = _ATTEMPTS * (TIMEOUT_S + _MAX_PAUSE_S)
"""Duration of an operation if all attempts time out."""

_SKUS = ("BAG-CANVAS", "BOOK-HOPS", "CAP-WOOL", "COASTER-CORK-6", "MUG-ENAMEL-BLUE", "MUG-ENAMEL-WHITE")
"""The products that customers order. They are few, so that orders compete for their stock."""

_READ_PATHS = ("/v2/products", "/v2/orders", "/v2/users/me", "/v2/notifications")


class Customer:
    """Acts with the account of `shopper`. `rng` makes every choice, so the same seed leads to the same choices."""

    def __init__(self, *, shopper: Shopper, history: History, rng: random.Random) -> None:
        self._shopper = shopper
        self._history = history
        self._rng = rng
        self._placed: list[str] = []

    @property
    def user_id(self) -> str:
        """The id of the account."""
        return self._shopper.user["id"]

    async def act(self) -> None:
        """Do exactly one operation with any number of attempts, because `Workload.progress` counts operations."""
        actions = {
            self.place_order: 10,
            self.cancel_order: 4 if self._placed else 0,
            self.read: 6,
            self.register_guest: 1,
        }
        [action] = self._rng.choices(tuple(actions), weights=tuple(actions.values()))
        await action()

    async def place_order(self, *, only: str | None = None, attempts: int | None = None) -> Operation:
        """Order one or two random products, or the product `only`. Send some orders again after their response."""
        key = uuid4().hex
        skus = [only] if only else self._rng.sample(_SKUS, k=self._rng.choice((1, 2)))
        request = api.place_order(*((sku, self._rng.choice((1, 2))) for sku in skus), key=key)
        repeat = self._rng.random() < 0.2
        operation = await self._do(Action.PLACE, key, request, repeat=repeat, attempts=attempts)
        self._placed += operation.responses[:1]
        return operation

    async def cancel_order(self) -> Operation:
        """Cancel the latest order that was not cancelled. Raises IndexError if all are cancelled."""
        order_id = self._placed.pop()
        return await self._do(Action.CANCEL, order_id, api.cancel_order(order_id))

    async def read(self, path: str | None = None, *, attempts: int | None = None) -> Operation:
        """Read `path`, by default a random one of `_READ_PATHS`."""
        path = path or self._rng.choice(_READ_PATHS)
        return await self._do(Action.READ, path, Request(method="GET", path=path), attempts=attempts)

    async def register_guest(self, *, attempts: int | None = None) -> Operation:
        """Register another account, which stays unused."""
        email = f"guest-{uuid4().hex[:12]}@example.com"
        request = api.register(email=email, password=PASSWORD, name="A Guest")
        return await self._do(Action.REGISTER, email, request, attempts=attempts)

    async def mark_read(self, *, attempts: int | None = None) -> Operation:
        """Mark the notifications up to seq 0 as read, which has no effect. It is recorded as a read for this reason."""
        request = api.mark_read(0)
        return await self._do(Action.READ, request.path, request, attempts=attempts)

    async def _do(
        self,
        action: Action,
        key: str,
        request: Request[object],
        *,
        repeat: bool = False,
        attempts: int | None = None,
    ) -> Operation:
        """Send the request until a response is final or no attempt is left. Record the operation in any case.

        With `repeat`, send the request again after its first successful response.
        """
        max_attempts = attempts or self._rng.choice((1, _ATTEMPTS, _ATTEMPTS))
        statuses, traces, responses, without_retry_after = list[int](), list[str](), list[str](), list[int]()
        try:
            while len(statuses) < max_attempts:
                statuses.append(NO_RESPONSE)
                traces.append(f"{self._rng.getrandbits(128):032x}")
                headers = _DEADLINE | {"traceparent": f"00-{traces[-1]}-{self._rng.getrandbits(64) | 1:016x}-01"}
                response = await self._send(request, headers)
                if response:
                    statuses[-1] = response.status_code
                    responses += [_id(response, action)] if response.is_success else []
                    without_retry_after += [response.status_code] if _lacks_retry_after(response) else []
                    if _is_final(response) and not (repeat and len(responses) == 1):
                        break
                await asyncio.sleep(self._rng.uniform(0, _MAX_PAUSE_S))
        finally:
            operation = Operation(
                action=action,
                outcome=_outcome(statuses),
                key=key,
                user_id="".join(responses[:1]) if action is Action.REGISTER else self.user_id,
                responses=tuple(responses),
                traces=tuple(traces),
                statuses=tuple(statuses),
                without_retry_after=tuple(without_retry_after),
            )
            self._history.operations.append(operation)
        return operation

    async def _send(self, request: Request[object], headers: dict[str, str]) -> httpx.Response | None:
        try:
            return await self._shopper.send(request, headers=headers)
        except httpx.TransportError:
            return None


def _id(response: httpx.Response, action: Action) -> str:
    return "" if action is Action.READ else str(response.json()["id"])


def _lacks_retry_after(response: httpx.Response) -> bool:
    later = response.status_code in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}
    return later and api.retry_after_s(response) is None


def _is_final(response: httpx.Response) -> bool:
    """Return whether another attempt would get the same response."""
    return (
        response.status_code < httpx.codes.INTERNAL_SERVER_ERROR
        and response.status_code != httpx.codes.TOO_MANY_REQUESTS
        and not api.is_in_flight(response)
    )


def _outcome(statuses: list[int]) -> Outcome:
    if any(httpx.codes.is_success(status) for status in statuses):
        return Outcome.OK
    rejected = all(httpx.codes.is_client_error(status) for status in statuses)
    return Outcome.FAILED if rejected else Outcome.INDETERMINATE
