"""Routes of accounts, tokens and keys."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response

from shared.auth import CurrentIdentity
from shared.web.media_types import FormRoute
from shared.web.openapi import document_problem
from users.dependencies import AccountsDep, RegistrationDep, ServiceOrAdminIdentity, TokensDep, authenticate_workers
from users.keys import KeyRing
from users.schemas import AccessToken, ClientTokenRequest, RevocationRequest, TokenPair, TokenRequest, User, UserUpdate

users_router = APIRouter(tags=["users"])
tokens_router = APIRouter(prefix="/tokens", tags=["tokens"], route_class=FormRoute)
revocation_router = APIRouter(tags=["tokens"], route_class=FormRoute)
"""Not part of the public API. The gateway calls it to end a session of its page. The token is the only credential."""

internal_users_router = APIRouter(prefix="/internal", tags=["internal"])
internal_tokens_router = APIRouter(prefix="/internal/tokens", tags=["internal"], route_class=FormRoute)

TokenForm = Annotated[TokenRequest, Form()]


async def forbid_caching(response: Response) -> None:
    """Forbid caching of tokens (RFC 6749 §5.1)."""
    response.headers["Cache-Control"] = "no-store"


@users_router.post(
    "/users",
    status_code=201,
    summary="Create an account",
    responses={409: document_problem("The address has an account already")},
)
async def register_account(registration: RegistrationDep, accounts: AccountsDep) -> User:
    """Create an account. 409 if the address is registered already."""
    return User.model_validate(await accounts.register_account(registration))


@users_router.get("/users/me", summary="Get your account")
async def read_me(identity: CurrentIdentity, accounts: AccountsDep) -> User:
    """Return the caller's account."""
    return User.model_validate(await accounts.get_account(identity.user_id))


@users_router.patch("/users/me", summary="Change your account")
async def update_me(identity: CurrentIdentity, body: UserUpdate, accounts: AccountsDep) -> User:
    """Change the caller's account and return it."""
    return User.model_validate(await accounts.update_account(identity.user_id, body))


@tokens_router.post(
    "",
    dependencies=[Depends(forbid_caching)],
    summary="Log in, or refresh a pair of tokens",
    responses={
        400: document_problem("The grant type is unsupported, or a parameter is missing"),
        401: document_problem("The credentials are wrong, or the refresh token is not valid"),
    },
)
async def grant_tokens(form: TokenForm, service: TokensDep) -> TokenPair:
    """Grant tokens (OAuth 2.0). `grant_type` is `password` or `refresh_token`."""
    return await service.grant_tokens(form)


@revocation_router.post("/tokens/revocation", status_code=204, summary="End a login")
async def revoke_tokens(form: Annotated[RevocationRequest, Form()], service: TokensDep) -> None:
    """Revoke all refresh tokens of a login (RFC 7009). An unknown token is ignored."""
    await service.revoke_tokens(form)


@users_router.get("/.well-known/jwks.json", tags=["tokens"])
async def read_keys(request: Request, response: Response) -> dict[str, Any]:
    """Return the keys that verify access tokens. Verifiers fetch them again for an unknown key id."""
    keys: KeyRing = request.app.state.keys
    response.headers["Cache-Control"] = "public, max-age=300"
    return keys.document


@internal_tokens_router.post("", dependencies=[Depends(authenticate_workers), Depends(forbid_caching)])
async def grant_client_token(form: Annotated[ClientTokenRequest, Form()], service: TokensDep) -> AccessToken:
    """Grant the workers a token (OAuth 2.0, HTTP Basic). `grant_type` is `client_credentials`."""
    return service.grant_service_token(form)


@internal_users_router.get("/admins")
async def list_admins(_identity: ServiceOrAdminIdentity, accounts: AccountsDep) -> list[User]:
    """List the admins, for services and admins."""
    return [User.model_validate(account) for account in await accounts.list_admins()]


@internal_users_router.get("/users/{user_id}")
async def read_user(user_id: UUID, _identity: ServiceOrAdminIdentity, accounts: AccountsDep) -> User:
    """Return an account, for services and admins."""
    return User.model_validate(await accounts.get_account(user_id))
