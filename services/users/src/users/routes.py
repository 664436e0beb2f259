"""HTTP in, HTTP out."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response

from shared.media_types import FormRoute
from shared.openapi import problem
from shared.tokens import CurrentIdentity
from users.dependencies import AccountsDep, RegistrationDep, StaffIdentity, TokensDep, workers_client
from users.keys import KeyRing
from users.schemas import AccessToken, ClientTokenRequest, TokenPair, TokenRequest, User, UserChange

router = APIRouter(tags=["users"])
tokens = APIRouter(prefix="/tokens", tags=["tokens"], route_class=FormRoute)
internal = APIRouter(prefix="/internal", tags=["internal"])
internal_tokens = APIRouter(prefix="/internal/tokens", tags=["internal"], route_class=FormRoute)

FormDep = Annotated[TokenRequest, Form()]


async def no_store(response: Response) -> None:
    """Keep tokens out of every cache (RFC 6749 §5.1)."""
    response.headers["Cache-Control"] = "no-store"


@router.post(
    "/users",
    status_code=201,
    summary="Create an account",
    responses={409: problem("The address has an account already")},
)
async def register(registration: RegistrationDep, accounts: AccountsDep) -> User:
    """Create an account; 409 where the address is registered already."""
    return User.model_validate(await accounts.register(registration))


@router.get("/users/me", summary="Your account")
async def read_me(identity: CurrentIdentity, accounts: AccountsDep) -> User:
    """The caller's account."""
    return User.model_validate(await accounts.get(identity.user_id))


@router.patch("/users/me", summary="Change your account")
async def change_me(identity: CurrentIdentity, profile: UserChange, accounts: AccountsDep) -> User:
    """Change the caller's account; returns it as it is now."""
    return User.model_validate(await accounts.change(identity.user_id, profile))


@tokens.post(
    "",
    dependencies=[Depends(no_store)],
    summary="Log in, or get the next pair of tokens",
    responses={
        400: problem("The grant type is missing or unknown"),
        401: problem("Wrong credentials, or a refresh token used twice"),
    },
)
async def grant_tokens(form: FormDep, service: TokensDep) -> TokenPair:
    """OAuth2 token endpoint: `grant_type` is `password` or `refresh_token`."""
    return await service.grant(form)


@router.get("/.well-known/jwks.json", tags=["tokens"])
async def read_keys(request: Request, response: Response) -> dict[str, Any]:
    """The keys that verify access tokens. An unknown key id makes verifiers ask anew, so caching delays no rotation."""
    keys: KeyRing = request.app.state.keys
    response.headers["Cache-Control"] = "public, max-age=300"
    return keys.document


@internal_tokens.post("", dependencies=[Depends(workers_client), Depends(no_store)])
async def grant_client_token(form: Annotated[ClientTokenRequest, Form()], service: TokensDep) -> AccessToken:
    """OAuth2 token endpoint of the workers (HTTP Basic): `grant_type` is `client_credentials`."""
    return service.grant_to_workers(form)


@internal.get("/admins")
async def list_admins(_identity: StaffIdentity, accounts: AccountsDep) -> list[User]:
    """Whom to write to about the shop itself, for services and admins."""
    return [User.model_validate(account) for account in await accounts.admins()]


@internal.get("/users/{user_id}")
async def read_user(user_id: UUID, _identity: StaffIdentity, accounts: AccountsDep) -> User:
    """Anybody's account, for services and admins."""
    return User.model_validate(await accounts.get(user_id))
