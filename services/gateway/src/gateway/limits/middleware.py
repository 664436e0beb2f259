"""ASGI middleware that limits the requests of each address and of each user."""

from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.limits.limiter import Limiter
from gateway.limits.quota import Hit, RateLimitStatus
from gateway.limits.rules import RateLimitRules
from gateway.versions import is_api_request
from shared.auth import get_identity
from shared.errors.problems import DeadlineExceededError, ProblemError, TooManyRequestsError, problem_response
from shared.web.client_address import get_client_address
from shared.web.headers import add_headers

_STATUS = "hopline.rate_limit"


class RateLimitMiddleware:
    """Counts each request for its address, and for its user if it has a valid token; 429 if a quota is exceeded.

    Both hits take one round trip to Redis, by the application's `limiter`. Responses have the headers of the limit with
    the fewest remaining requests, except errors that outer middleware renders. If the route applies further limits, the
    headers describe only those. This middleware is the first to read the user, so it adds the user to the request's
    span.
    """

    def __init__(self, app: ASGIApp, *, rules: RateLimitRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the API; others pass through. Raises DeadlineExceededError."""
        if not is_api_request(scope):
            await self._app(scope, receive, send)
            return

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                status: RateLimitStatus = scope[_STATUS]
                add_headers(message, status.headers())
            await send(message)

        hits = [Hit(quota=self._rules.address, subject=get_client_address(scope))]
        try:
            identity = await get_identity(scope)
            user_id = str(identity.user_id)
            hits.append(Hit(quota=self._rules.user, subject=user_id))
            trace.get_current_span().set_attribute("user.id", user_id)
        except DeadlineExceededError:
            raise
        except ProblemError:  # a route that needs a token rejects the request
            pass
        try:
            await apply_limits(scope["app"].state.limiter, scope, hits)
        except TooManyRequestsError as error:
            await problem_response(error, instance=scope["path"])(scope, receive, send_with_limits)
            return
        await self._app(scope, receive, send_with_limits)


async def apply_limits(limiter: Limiter, scope: Scope, hits: list[Hit]) -> None:
    """Count the request. Its response has the headers of the limits that were applied last.

    Raises:
        TooManyRequestsError: A quota is exceeded.
    """
    status = await limiter.hit(hits)
    scope[_STATUS] = status
    if status.retry_after_s is not None:
        quota = status.quota
        raise TooManyRequestsError(
            f'The quota "{quota.name}" of {quota.requests} requests in {quota.seconds:g} seconds is exceeded. '
            f"Try again in {status.retry_after_s} seconds",
            retry_after_s=status.retry_after_s,
        )
