"""Lists take the same number of statements for any number of rows."""

from functools import partial

import httpx

from testkit.queries import Queries, list_paths
from testkit.tokens import TokenIssuer
from users.main import create_app
from users.settings import Settings

from .conftest import ExecuteSql
from .factories import create_user

COVERED_LISTS = {"/internal/admins"}
MORE_ADMINS = 20


async def test_list_of_admins_runs_the_same_number_of_statements_when_there_are_more_admins(
    users: httpx.AsyncClient, execute_sql: ExecuteSql, issuer: TokenIssuer, queries: Queries
) -> None:
    headers = issuer.headers((await create_user(users))["id"], role="service")
    list_admins = partial(users.get, "/internal/admins", headers=headers)
    await execute_sql("UPDATE account SET role = 'admin'")
    statements_for_one_admin = await queries.count(list_admins)
    await execute_sql(
        "INSERT INTO account (id, email, name, password_hash, role)"
        " SELECT gen_random_uuid(), format('%s@hopline.example', n), 'Admin', '', 'admin'"
        " FROM generate_series(1, $1::int) n",
        MORE_ADMINS,
    )
    assert len((await list_admins()).json()) == 1 + MORE_ADMINS
    assert await queries.count(list_admins) == statements_for_one_admin > 0


def test_every_list_is_covered() -> None:
    settings = Settings.model_validate(
        {
            "environment": "test",
            "database_url": "postgresql://nobody@localhost/none",
            "redis_url": "redis://localhost",
            "signing_key": TokenIssuer().private_pem,
            "workers_client_secret": "the-workers-secret",
        }
    )
    # A list that is missing in COVERED_LISTS needs a test like the one above.
    assert list_paths(create_app(settings).openapi()) == COVERED_LISTS
