import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.settings import CONFIGURATION_ERROR
from testkit.tokens import TokenIssuer
from users.main import create_app
from users.settings import get_settings

from .conftest import Rows, Service
from .factories import log_in

ENVIRONMENT = {
    "DATABASE_URL": "postgresql://localhost/users",
    "REDIS_URL": "redis://localhost/0",
    "SIGNING_KEY": TokenIssuer().private_pem,
    "WORKERS_CLIENT_SECRET": "a-secret",
}
OTHER_KIND = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A sufficient environment, to be changed by `setenv`."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


class TestSettings:
    def test_are_enough(self, environment: pytest.MonkeyPatch) -> None:
        assert create_app().title == "Hopline users"

    def test_are_read_once(self, environment: pytest.MonkeyPatch) -> None:
        first = create_app().state.settings
        environment.setenv("ADMIN_EMAIL", "other@hopline.example")
        assert create_app().state.settings is first

    def test_may_come_from_files(self, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
        key = tmp_path / "signing.pem"
        key.write_text(ENVIRONMENT["SIGNING_KEY"])
        environment.delenv("SIGNING_KEY")
        environment.setenv("SIGNING_KEY_FILE", str(key))
        assert create_app().title == "Hopline users"

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("DATABASE_URL", ""),
            ("REDIS_URL", "postgresql://localhost"),
            ("WORKERS_CLIENT_SECRET", "short"),
            ("ADMIN_EMAIL", "nobody"),
            ("SIGNING_KEY", ""),
            ("SIGNING_KEY", "not a key"),
            ("SIGNING_KEY", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
            ("SIGNING_KEY", OTHER_KIND),
            ("SIGNING_KEY", ENVIRONMENT["SIGNING_KEY"] + OTHER_KIND),
        ],
    )
    def test_stop_the_start_by_name(
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
    async def test_can_log_in_in_development(self, service: Service) -> None:
        async with service(environment="development") as users:
            assert (await log_in(users, "admin@hopline.example", "hopline-admin")).status_code == 200

    async def test_is_one_however_many_start(self, service: Service, rows: Rows) -> None:
        async def start() -> None:
            async with service(environment="development", admin_email="Root@hopline.example"):
                pass

        await asyncio.gather(*(start() for _ in range(3)))
        await start()
        (account,) = await rows("SELECT email, role FROM account")
        assert tuple(account) == ("root@hopline.example", "admin")

    async def test_is_not_there_elsewhere(self, users: httpx.AsyncClient) -> None:
        assert (await log_in(users, "admin@hopline.example", "hopline-admin")).status_code == 401
