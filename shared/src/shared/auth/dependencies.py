"""FastAPI dependencies that return the caller of a request and check roles."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param
from starlette.types import Scope

from shared.auth.tokens import TokenVerifier
from shared.context import get_context
from shared.errors.problems import ForbiddenError, UnauthorizedError
from shared.identity import Identity, Role
from shared.web.headers import get_header


async def get_identity(scope: Scope) -> Identity:
    """Return the caller of the current request. The token is verified once per request.

    Raises:
        UnauthorizedError: The request has no valid token.
        UnavailableError: The keys are unknown and cannot be fetched.
    """
    context = get_context()
    if context.caller is None:
        scheme, token = get_authorization_scheme_param(get_header(scope, b"authorization"))
        if scheme.lower() != "bearer" or not token:
            context.caller = UnauthorizedError("A bearer token is required")
        else:
            verifier: TokenVerifier = scope["app"].state.token_verifier
            try:
                context.caller = await verifier.verify(token)
            except UnauthorizedError as error:
                context.caller = error
    if isinstance(context.caller, UnauthorizedError):
        raise context.caller
    return context.caller


class CurrentIdentityBearer(SecurityBase):
    """Dependency that returns the caller and binds `user_id` to the log context. Raises the errors of `get_identity`.

    The class is also the security scheme of the OpenAPI document, so that the docs page can log in. A separate
    dependency for each purpose would cost more per request.
    """

    def __init__(self) -> None:
        scheme = OAuth2PasswordBearer(tokenUrl="/v2/tokens")
        self.model, self.scheme_name = scheme.model, scheme.scheme_name

    async def __call__(self, request: Request) -> Identity:
        """Return the identity, verified by `app.state.token_verifier`."""
        identity = await get_identity(request.scope)
        structlog.contextvars.bind_contextvars(user_id=str(identity.user_id))
        return identity


current_identity = CurrentIdentityBearer()

CurrentIdentity = Annotated[Identity, Depends(current_identity)]


def require_role(*roles: Role) -> Callable[[Identity], Awaitable[Identity]]:
    """Return a dependency that returns the caller, or raises ForbiddenError if the caller has none of these roles."""

    async def check_role(identity: CurrentIdentity) -> Identity:
        if identity.role not in roles:
            raise ForbiddenError(f"This endpoint requires the role {' or '.join(roles)}")
        return identity

    return check_role


ServiceIdentity = Annotated[Identity, Depends(require_role(Role.SERVICE))]

AdminIdentity = Annotated[Identity, Depends(require_role(Role.ADMIN))]
