"""The URLs of PostgreSQL, as SQLAlchemy and asyncpg read them."""

from typing import Any

from pydantic import PostgresDsn
from sqlalchemy.engine import URL, make_url

from shared.config import DatabaseSettings


def async_url(url: PostgresDsn | str) -> str:
    """Return the SQLAlchemy URL for asyncpg of a `postgresql://` URL. SQLAlchemy passes `ssl` on, but not `sslmode`."""
    parsed = make_url("postgresql+asyncpg://" + str(url).split("://", 1)[1])
    if sslmode := parsed.query.get("sslmode"):
        parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": sslmode})
    return parsed.render_as_string(hide_password=False)


def pool_url(settings: DatabaseSettings) -> URL:
    """Return DATABASE_URL, or DATABASE_POOLER_URL with its missing parts taken from DATABASE_URL."""
    direct = make_url(async_url(settings.database_url))
    if settings.database_pooler_url is None:
        return direct
    pooler = make_url(async_url(settings.database_pooler_url))
    return direct.set(
        host=pooler.host,
        port=pooler.port,
        username=pooler.username or direct.username,
        password=pooler.password or direct.password,
        database=pooler.database or direct.database,
        query={name: value for name, value in pooler.query.items() if name == "ssl"},
    )


def get_connect_arguments(url: PostgresDsn | str) -> dict[str, Any]:
    """Return the arguments with which the pool calls `asyncpg.connect`, for a connection beside the pool.

    asyncpg reads a URL differently: it rejects `ssl`, and ignores the option `host` if the URL has another host.
    """
    parsed = make_url(async_url(url))
    _, arguments = parsed.get_dialect()().create_connect_args(parsed)
    return dict(arguments)
