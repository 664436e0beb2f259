"""Lists take the same number of statements for any number of rows."""

from functools import partial

import httpx
from services.users.tests.conftest import FetchRows
from services.users.tests.factories import create_user

from testkit.queries import Queries, list_paths
from testkit.tokens import TokenIssuer
from users.main import create_app
from users.settings import Settings

COVERED_LISTS = {"/internal/admins"}


async def test_admins_cost_the_same_statements_when_there_are_more_rows(
    users: httpx.AsyncClient, rows: FetchRows, issuer: TokenIssuer, queries: Queries
) -> None:
    headers = issuer.headers((await create_user(users))["id"], role="service")
    list_admins = partial(users.get, "/internal/admins", headers=headers)
    await rows("UPDATE account SET role = 'admin'")
    for_one = await queries.count(list_admins)
    await rows(
        "INSERT INTO account (id, email, name, password_hash, role)"
        " SELECT gen_random_uuid(), format('%s@hopline.example', n), 'Admin', '', 'admin' FROM generate_series(1, 20) n"
    )
    assert len((await list_admins()).json()) == 21
    assert await queries.count(list_admins) == for_one > 0


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
    assert list_paths(create_app(settings).openapi()) == COVERED_LISTS
