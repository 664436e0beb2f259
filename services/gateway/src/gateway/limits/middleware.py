"""ASGI middleware: every request of the API is charged to its address, and to its user if it has a valid token."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.limits.limiter import Limiter
from gateway.limits.quota import Charge, Verdict
from gateway.limits.rules import Rules
from gateway.versions import is_api_request
from shared.client_address import address_of
from shared.deadline import deadline_in
from shared.errors import DeadlineSpent, Problem, TooManyRequests, problem_response
from shared.headers import add
from shared.tokens import identity_of

_VERDICT = "hopline.rate_limit"


class RateLimits:
    """Answers 429 where a quota is used up; otherwise the headers of the tightest go on the answer, whoever gives it.

    One round trip to Redis for both charges, by the application's own `limiter`. A request's `deadline_s` begin here:
    the keys that verify its token may have to be fetched. `gateway.uploads` has received its body before.
    """

    def __init__(self, app: ASGIApp, *, rules: Rules, deadline_s: float) -> None:
        self._app = app
        self._rules = rules
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the API; others pass through. Raises DeadlineSpent."""
        if not is_api_request(scope):
            await self._app(scope, receive, send)
            return
        with deadline_in(self._deadline_s):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def say_the_limit(message: Message) -> None:
            if message["type"] == "http.response.start":
                judged: Verdict = scope[_VERDICT]
                add(message, judged.headers())
            await send(message)

        try:
            await charge(scope["app"].state.limiter, scope, await self._charges(scope))
        except TooManyRequests as refusal:
            await problem_response(refusal, instance=scope["path"])(scope, receive, say_the_limit)
            return
        await self._app(scope, receive, say_the_limit)

    async def _charges(self, scope: Scope) -> list[Charge]:
        charges = [Charge(quota=self._rules.address, whose=address_of(scope))]
        try:
            identity = await identity_of(scope)
        except DeadlineSpent:
            raise
        except Problem:  # the route will say so, if it needs to know who is asking
            return charges
        return [*charges, Charge(quota=self._rules.user, whose=str(identity.user_id))]


async def charge(limiter: Limiter, scope: Scope, charges: list[Charge]) -> None:
    """Charge the request, or raise TooManyRequests; its response has the headers of the last charge."""
    judged = await limiter.charge(charges)
    scope[_VERDICT] = judged
    if judged.retry_after_s is not None:
        raise TooManyRequests(f"The limit by {judged.quota.name} is used up", retry_after_s=judged.retry_after_s)
