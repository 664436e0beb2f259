"""One transaction per request.

The request owns the transaction: repositories flush, and the dependency below commits *before* the response is sent
(`scope="function"`), so that a failed commit is an error the client sees and never a 201 that did not happen.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import Database

READS: Final = frozenset({"GET", "HEAD"})
"""Methods whose transactions may use the connections that are reserved for reads: they lock no rows."""


async def request_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Open the request's transaction; `app.state.database` is set by the lifespan."""
    database: Database = request.app.state.database
    async with database.transaction(reserved=request.method in READS) as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(request_session, scope="function")]
"""A session whose transaction commits when the handler returns, before the response is sent."""
