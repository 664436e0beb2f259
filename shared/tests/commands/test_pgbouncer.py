"""PgBouncer's configuration files, rendered from the URLs of the databases."""

from shared.commands.pgbouncer import render_ini, render_userlist
from shared.connections import PGBOUNCER_POOL_SIZE


class TestConfiguration:
    URLS = ("postgresql://orders:p%40ss%22@db.example:5433/orders", "postgresql://users:secret@db.example/users")

    def test_each_database_has_its_server(self) -> None:
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

    def test_passwords_are_decoded_and_quoted(self) -> None:
        assert render_userlist(self.URLS) == '"orders" "p@ss"""\n"users" "secret"\n'
