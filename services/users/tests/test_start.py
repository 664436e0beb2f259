import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.config import CONFIGURATION_ERROR
from testkit.tokens import TokenIssuer
from users.main import create_app
from users.settings import get_settings

from .conftest import ExecuteSql, RunService
from .factories import log_in

REQUIRED_VARIABLES = {
    "DATABASE_URL": "postgresql://localhost/users",
    "REDIS_URL": "redis://localhost/0",
    "SIGNING_KEY": TokenIssuer().private_pem,
    "WORKERS_CLIENT_SECRET": "a-secret",
}
SEEDED_ADMIN = ("admin@hopline.example", "hopline-admin")
"""The default email address and password."""

EC_KEY = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Set the required environment variables, and return the patch for further ones."""
    for name, value in REQUIRED_VARIABLES.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


class TestSettings:
    def test_app_starts_when_the_required_settings_are_set(self, environment: pytest.MonkeyPatch) -> None:
        assert create_app().title == "Hopline users"

    def test_settings_are_read_once(self, environment: pytest.MonkeyPatch) -> None:
        first = create_app().state.settings
        environment.setenv("ADMIN_EMAIL", "other@hopline.example")
        assert create_app().state.settings is first

    def test_setting_is_read_from_a_file_when_its_file_variable_is_set(
        self, environment: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        key = tmp_path / "signing.pem"
        key.write_text(REQUIRED_VARIABLES["SIGNING_KEY"])
        environment.delenv("SIGNING_KEY")
        environment.setenv("SIGNING_KEY_FILE", str(key))
        assert create_app().title == "Hopline users"

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("DATABASE_URL", ""),
            ("REDIS_URL", "postgresql://localhost"),
            ("WORKERS_CLIENT_SECRET", "short"),
            ("WORKERS_CLIENT_SECRET", "ein-schlüssel"),
            ("ADMIN_EMAIL", "nobody"),
            ("SIGNING_KEY", ""),
            ("SIGNING_KEY", "not a key"),
            ("SIGNING_KEY", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
            pytest.param("SIGNING_KEY", EC_KEY, id="key of another type"),  # without the key, which differs in each run
            pytest.param("SIGNING_KEY", REQUIRED_VARIABLES["SIGNING_KEY"] + EC_KEY, id="two keys"),
            pytest.param(
                "SIGNING_KEY", REQUIRED_VARIABLES["SIGNING_KEY"] + "-----BEGIN EC PRIVATE KEY-----", id="EC key"
            ),
        ],
    )
    def test_start_exits_with_the_name_of_the_setting_when_it_is_invalid(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
    ) -> None:
        environment.setenv(variable, value)
        with pytest.raises(SystemExit) as stopped:
            create_app()
        assert stopped.value.code == CONFIGURATION_ERROR
        errors = capsys.readouterr().err
        assert errors.startswith(f"configuration error: {variable}: ")
        assert errors.count("\n") == 1
        assert not value or value not in errors


class TestSeededAdmin:
    async def test_admin_is_seeded_when_the_environment_is_development(self, run_service: RunService) -> None:
        async with run_service(environment="development") as users:
            assert (await log_in(users, *SEEDED_ADMIN)).status_code == 200

    async def test_admin_is_seeded_when_a_hash_takes_longer_than_the_timeout_of_a_login(
        self, run_service: RunService, execute_sql: ExecuteSql
    ) -> None:
        async with run_service(environment="development", password_timeout_seconds=0.0001) as users:
            assert (await log_in(users, *SEEDED_ADMIN)).status_code == 503
        assert len(await execute_sql("SELECT email FROM account WHERE role = 'admin'")) == 1

    async def test_one_admin_is_seeded_when_replicas_start_concurrently(
        self, run_service: RunService, execute_sql: ExecuteSql
    ) -> None:
        async def start_and_stop() -> None:
            async with run_service(environment="development", admin_email="Root@hopline.example"):
                pass

        await asyncio.gather(*(start_and_stop() for _ in range(3)))
        await start_and_stop()
        (account,) = await execute_sql("SELECT email, role FROM account")
        assert tuple(account) == ("root@hopline.example", "admin")

    async def test_admin_is_not_seeded_when_the_environment_is_test(self, users: httpx.AsyncClient) -> None:
        assert (await log_in(users, *SEEDED_ADMIN)).status_code == 401
