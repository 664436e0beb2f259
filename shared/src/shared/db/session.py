"""One transaction per request.

Repositories only flush. The dependency commits before the response is sent (`scope="function"`), so that the client
receives an error if the commit fails.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from shared.db.database import Database

READS: Final = frozenset({"GET", "HEAD"})
"""Methods whose transactions lock no rows, so they may use the reserved connections."""


async def request_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Open the transaction of the request in `app.state.database`, which the lifespan sets."""
    database: Database = request.app.state.database
    async with database.transaction(reserved=request.method in READS) as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(request_session, scope="function")]
"""A session whose transaction commits when the handler returns, before the response is sent."""
