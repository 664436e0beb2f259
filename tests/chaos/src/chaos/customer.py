"""A customer who goes on through every fault: asks again with the same key, and keeps a record of what came of it."""

import asyncio
import random
from typing import Any
from uuid import uuid4

import httpx

from chaos.history import NO_ANSWER, Action, History, Operation, Outcome
from testkit.shopper import PASSWORD, Shopper

PATIENCE_S = 6.0
"""For one answer."""

_HURRY = {"X-Request-Timeout-Ms": "5000"}
"""Nobody is still at work on what nobody waits for: it would be done after the verdict."""

_ATTEMPTS = 5
_LONGEST_PAUSE_S = 1.0
LONGEST_OPERATION_S = _ATTEMPTS * (PATIENCE_S + _LONGEST_PAUSE_S)
"""Of an operation whose every attempt times out."""

_SKUS = ("BAG-CANVAS", "BOOK-HOPS", "CAP-WOOL", "COASTER-CORK-6", "MUG-ENAMEL-BLUE", "MUG-ENAMEL-WHITE")
"""Few, so that orders meet at their stock."""

_LOOKS = ("/v2/products", "/v2/orders", "/v2/users/me", "/v2/notifications")


class Customer:
    """Acts as `shopper`; every choice is `rng`'s, so that a seed gives the same intentions again."""

    def __init__(self, *, shopper: Shopper, history: History, rng: random.Random) -> None:
        self._shopper = shopper
        self._history = history
        self._rng = rng
        self._placed: list[str] = []

    @property
    def user_id(self) -> str:
        """Whose account it is."""
        return str(self._shopper.user["id"])

    async def act(self) -> None:
        """Do exactly one operation, however many attempts it takes: whoever waits counts operations in the history."""
        actions = {self.place: 10, self.cancel: 4 if self._placed else 0, self.look: 6, self.invite: 1}
        [action] = self._rng.choices(tuple(actions), weights=tuple(actions.values()))
        await action()

    async def place(self, *, only: str | None = None, attempts: int | None = None) -> Operation:
        """Order one or two products, or one named one. Some send the same request again after a response."""
        key = uuid4().hex
        skus = [only] if only else self._rng.sample(_SKUS, k=self._rng.choice((1, 2)))
        body = {"items": [{"sku": sku, "quantity": self._rng.choice((1, 2))} for sku in skus]}
        twice = self._rng.random() < 0.2
        request = {"json": body, "headers": {"Idempotency-Key": key}}
        operation = await self._asked(
            Action.PLACE, key, "POST", "/v2/orders", twice=twice, attempts=attempts, **request
        )
        self._placed += operation.answers[:1]
        return operation

    async def cancel(self) -> Operation:
        """Cancel the latest order. Raises IndexError if there is none."""
        order_id = self._placed.pop()
        return await self._asked(Action.CANCEL, order_id, "POST", f"/v2/orders/{order_id}/cancel")

    async def look(self, path: str | None = None, *, attempts: int | None = None) -> Operation:
        """Read `path`, or something."""
        path = path or self._rng.choice(_LOOKS)
        return await self._asked(Action.LOOK, path, "GET", path, attempts=attempts)

    async def invite(self, *, attempts: int | None = None) -> Operation:
        """Register somebody else, who never comes."""
        email = f"guest-{uuid4().hex[:12]}@example.com"
        body = {"email": email, "password": PASSWORD, "name": "A Guest"}
        return await self._asked(Action.REGISTER, email, "POST", "/v2/users", attempts=attempts, json=body)

    async def mark_read(self, *, attempts: int | None = None) -> Operation:
        """Mark no notification as read: a write that can be repeated."""
        path = "/v2/notifications/read"
        return await self._asked(Action.LOOK, path, "POST", path, attempts=attempts, json={"up_to": 0})

    async def _asked(
        self,
        action: Action,
        key: str,
        method: str,
        path: str,
        *,
        twice: bool = False,
        attempts: int | None = None,
        **request: Any,
    ) -> Operation:
        """Ask until there is an answer that decides, or patience is over; put it on record, however it ends."""
        headers = self._shopper.headers | _HURRY | request.pop("headers", {})
        patience = attempts or self._rng.choice((1, _ATTEMPTS, _ATTEMPTS))
        statuses, traces, answers, unannounced = list[int](), list[str](), list[str](), list[int]()
        try:
            while len(statuses) < patience:
                statuses.append(NO_ANSWER)
                traces.append(f"{self._rng.getrandbits(128):032x}")
                traced = headers | {"traceparent": f"00-{traces[-1]}-{self._rng.getrandbits(64) | 1:016x}-01"}
                answer = await self._answer(method, path, headers=traced, **request)
                if answer:
                    statuses[-1] = answer.status_code
                    answers += [_id(answer, action)] if answer.is_success else []
                    unannounced += [answer.status_code] if _lacks_retry_after(answer) else []
                    if _decides(answer) and not (twice and len(answers) == 1):
                        break
                await asyncio.sleep(self._rng.uniform(0, _LONGEST_PAUSE_S))
        finally:
            operation = Operation(
                action=action,
                outcome=_outcome(statuses),
                key=key,
                user_id="".join(answers[:1]) if action is Action.REGISTER else self.user_id,
                answers=tuple(answers),
                traces=tuple(traces),
                statuses=tuple(statuses),
                without_retry_after=tuple(unannounced),
            )
            self._history.operations.append(operation)
        return operation

    async def _answer(self, method: str, path: str, **request: Any) -> httpx.Response | None:
        try:
            return await self._shopper.client.request(method, path, **request)
        except httpx.TransportError:
            return None


def _id(answer: httpx.Response, action: Action) -> str:
    return "" if action is Action.LOOK else str(answer.json()["id"])


def _lacks_retry_after(answer: httpx.Response) -> bool:
    later = answer.status_code in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}
    return later and "Retry-After" not in answer.headers


def _decides(answer: httpx.Response) -> bool:
    """Whether nothing else can come of asking again."""
    if answer.status_code == httpx.codes.CONFLICT:
        return not str(answer.json().get("type", "")).endswith("idempotency-key-in-flight")
    return (
        answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR and answer.status_code != httpx.codes.TOO_MANY_REQUESTS
    )


def _outcome(statuses: list[int]) -> Outcome:
    if any(httpx.codes.is_success(status) for status in statuses):
        return Outcome.OK
    refused = all(httpx.codes.is_client_error(status) for status in statuses)
    return Outcome.FAILED if refused else Outcome.INDETERMINATE
