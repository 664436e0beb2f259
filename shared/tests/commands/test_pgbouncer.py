"""PgBouncer's configuration files, rendered from the URLs of the databases."""

from pathlib import Path

import pytest

from shared.commands.pgbouncer import main, render_ini, render_userlist
from shared.config import CONFIGURATION_ERROR
from shared.connections import PGBOUNCER_POOL_SIZE


class TestConfiguration:
    URLS = ("postgresql://orders:p%40ss%22@db.example:5433/orders", "postgresql://users:secret@db.example/users")

    def test_ini_has_the_server_of_each_database_and_no_password(self) -> None:
        ini = render_ini(self.URLS, auth_file="/etc/pgbouncer/userlist.txt", sslmode="require")
        for line in (
            "orders = host=db.example port=5433 dbname=orders",
            "users = host=db.example port=5432 dbname=users",
            "pool_mode = transaction",
            f"default_pool_size = {PGBOUNCER_POOL_SIZE}",
            "server_tls_sslmode = require",
        ):
            assert line in ini.splitlines()
        assert "secret" not in ini

    def test_userlist_has_the_passwords_decoded_and_quoted(self) -> None:
        assert render_userlist(self.URLS) == '"orders" "p@ss"""\n"users" "secret"\n'


class TestCommand:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "url").write_text(TestConfiguration.URLS[0])
        monkeypatch.setenv("ORDERS_DATABASE_URL_FILE", str(tmp_path / "url"))
        monkeypatch.setenv("PGBOUNCER_POOL_SIZE", "7")

    def test_command_writes_both_files_for_the_configured_databases(self, tmp_path: Path) -> None:
        assert main([str(tmp_path)]) == 0
        assert "default_pool_size = 7" in (tmp_path / "pgbouncer.ini").read_text().splitlines()
        assert (tmp_path / "userlist.txt").read_text() == '"orders" "p@ss"""\n'

    @pytest.mark.parametrize(
        ("variable", "value"),
        [("PGBOUNCER_POOL_SIZE", "ten"), ("PGBOUNCER_POOL_SIZE", "0"), ("ORDERS_DATABASE_URL_FILE", "/missing")],
    )
    def test_command_fails_with_the_variable_when_its_value_is_invalid(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        variable: str,
        value: str,
    ) -> None:
        monkeypatch.setenv(variable, value)
        assert main([str(tmp_path)]) == CONFIGURATION_ERROR
        assert capsys.readouterr().err.startswith(f"configuration error: {variable}: ")

    def test_command_fails_with_its_usage_when_the_folder_is_missing(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stopped:
            main([])
        assert stopped.value.code == 2
        assert "FOLDER" in capsys.readouterr().err
