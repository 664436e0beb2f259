"""No list costs more statements for more rows."""

from functools import partial

import httpx
from services.users.tests.conftest import Rows
from services.users.tests.factories import registered

from testkit.queries import Queries, lists_of
from testkit.tokens import TokenIssuer
from users.main import create_app
from users.settings import Settings

GUARDED = {"/internal/admins"}


async def test_the_admins(users: httpx.AsyncClient, rows: Rows, issuer: TokenIssuer, queries: Queries) -> None:
    headers = issuer.headers((await registered(users))["id"], role="service")
    ask = partial(users.get, "/internal/admins", headers=headers)
    await rows("UPDATE account SET role = 'admin'")
    for_one = await queries.of(ask)
    await rows(
        "INSERT INTO account (id, email, name, password_hash, role)"
        " SELECT gen_random_uuid(), format('%s@hopline.example', n), 'Admin', '', 'admin' FROM generate_series(1, 20) n"
    )
    assert len((await ask()).json()) == 21
    assert await queries.of(ask) == for_one > 0


def test_no_list_is_forgotten() -> None:
    settings = Settings.model_validate(
        {
            "environment": "test",
            "database_url": "postgresql://nobody@localhost/none",
            "redis_url": "redis://localhost",
            "signing_key": TokenIssuer().private_pem,
            "workers_client_secret": "the-workers-secret",
        }
    )
    assert lists_of(create_app(settings).openapi()) == GUARDED
