"""FastAPI dependencies of the routes: services, the new account, and the roles of callers."""

from secrets import compare_digest
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from shared.auth import Identity, Role, require_role
from shared.db.session import SessionDep
from users.errors import WrongClientError
from users.events import UserEvents
from users.passwords import PasswordHasher
from users.repository import AccountRepository
from users.schemas import UserCreate
from users.service import AccountService, Registration, TokenService
from users.settings import Settings, get_settings

WORKERS_CLIENT_ID = "workers"

_basic = HTTPBasic(auto_error=False)

SettingsDep = Annotated[Settings, Depends(get_settings)]


async def get_account_service(session: SessionDep) -> AccountService:
    """Return the account service in the request's transaction."""
    return AccountService(
        accounts=AccountRepository(session=session),
        events=UserEvents(session=session),
    )


async def get_registration(body: UserCreate, request: Request) -> Registration:
    """Return the new account with its password hashed.

    A route declares this dependency before the session, so that no transaction is open while the password is hashed.
    """
    passwords: PasswordHasher = request.app.state.passwords
    with passwords.queue_slot():
        password_hash = await passwords.hash(body.password)
    return Registration(email=body.email, name=body.name, password_hash=password_hash)


async def get_token_service(request: Request) -> TokenService:
    """Return the token service of the process. It has no per-request state."""
    service: TokenService = request.app.state.tokens
    return service


async def authenticate_workers(
    settings: SettingsDep, credentials: Annotated[HTTPBasicCredentials | None, Depends(_basic)]
) -> None:
    """Accept only the credentials of the workers, compared in constant time. Raises WrongClientError."""
    secret = settings.workers_client_secret.get_secret_value()
    expected = f"{WORKERS_CLIENT_ID}:{secret}".encode()
    if credentials is None or not compare_digest(f"{credentials.username}:{credentials.password}".encode(), expected):
        raise WrongClientError


AccountsDep = Annotated[AccountService, Depends(get_account_service)]
RegistrationDep = Annotated[Registration, Depends(get_registration)]
TokensDep = Annotated[TokenService, Depends(get_token_service)]
ServiceOrAdminIdentity = Annotated[Identity, Depends(require_role(Role.SERVICE, Role.ADMIN))]
