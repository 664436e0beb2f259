"""Who gets built for a request, and who may ask."""

from secrets import compare_digest
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from shared.session import SessionDep
from shared.tokens import Identity, Role, require_role
from users.errors import WrongClient
from users.events import UserEvents
from users.repository import AccountRepository
from users.service import Accounts, Tokens
from users.settings import Settings

WORKERS_CLIENT_ID = "workers"

_basic = HTTPBasic(auto_error=False)


async def accounts(request: Request, session: SessionDep) -> Accounts:
    """Accounts within this request's transaction."""
    return Accounts(
        accounts=AccountRepository(session=session),
        events=UserEvents(session=session),
        passwords=request.app.state.passwords,
    )


async def tokens(request: Request) -> Tokens:
    """The process's token service: it holds no state of a request."""
    service: Tokens = request.app.state.tokens
    return service


async def workers_client(request: Request, given: Annotated[HTTPBasicCredentials | None, Depends(_basic)]) -> None:
    """Let only the workers pass; raises WrongClient. Comparing takes the same time wherever the first difference is."""
    settings: Settings = request.app.state.settings
    secret = settings.workers_client_secret.get_secret_value()
    expected = f"{WORKERS_CLIENT_ID}:{secret}".encode()
    if given is None or not compare_digest(f"{given.username}:{given.password}".encode(), expected):
        raise WrongClient


AccountsDep = Annotated[Accounts, Depends(accounts)]
TokensDep = Annotated[Tokens, Depends(tokens)]
StaffIdentity = Annotated[Identity, Depends(require_role(Role.SERVICE, Role.ADMIN))]
