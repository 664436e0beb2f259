"""Who gets built for a request, and who may ask."""

from secrets import compare_digest
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from shared.session import SessionDep
from shared.tokens import Identity, Role, require_role
from users.errors import WrongClient
from users.events import UserEvents
from users.passwords import Passwords
from users.repository import AccountRepository
from users.schemas import NewUser
from users.service import Accounts, Registration, Tokens
from users.settings import Settings, get_settings

WORKERS_CLIENT_ID = "workers"

_basic = HTTPBasic(auto_error=False)

SettingsDep = Annotated[Settings, Depends(get_settings)]


async def accounts(session: SessionDep) -> Accounts:
    """Accounts within this request's transaction."""
    return Accounts(
        accounts=AccountRepository(session=session),
        events=UserEvents(session=session),
    )


async def registration(new_user: NewUser, request: Request) -> Registration:
    """Hash the password of a new account. Resolve this before the session: no transaction waits for a hash."""
    passwords: Passwords = request.app.state.passwords
    with passwords.place():
        password_hash = await passwords.hash(new_user.password)
    return Registration(email=new_user.email, name=new_user.name, password_hash=password_hash)


async def tokens(request: Request) -> Tokens:
    """The process's token service: it holds no state of a request."""
    service: Tokens = request.app.state.tokens
    return service


async def workers_client(settings: SettingsDep, given: Annotated[HTTPBasicCredentials | None, Depends(_basic)]) -> None:
    """Let only the workers pass; raises WrongClient. The comparison takes constant time."""
    secret = settings.workers_client_secret.get_secret_value()
    expected = f"{WORKERS_CLIENT_ID}:{secret}".encode()
    if given is None or not compare_digest(f"{given.username}:{given.password}".encode(), expected):
        raise WrongClient


AccountsDep = Annotated[Accounts, Depends(accounts)]
RegistrationDep = Annotated[Registration, Depends(registration)]
TokensDep = Annotated[Tokens, Depends(tokens)]
StaffIdentity = Annotated[Identity, Depends(require_role(Role.SERVICE, Role.ADMIN))]
