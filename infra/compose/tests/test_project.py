from pathlib import Path

import pytest

from compose.project import from_environment


class TestProject:
    @pytest.mark.parametrize(("value", "profiles"), [("1", "load,pgbouncer"), ("0", "load"), ("", "load")])
    def test_environment_has_the_profile_and_the_address_of_pgbouncer_when_it_is_enabled(
        self, tmp_path: Path, value: str, profiles: str
    ) -> None:
        caller = {"HOPLINE_HOME": str(tmp_path), "HOPLINE_PGBOUNCER": value, "COMPOSE_PROFILES": "load"}
        environment = from_environment(caller).environment(caller)
        assert environment["COMPOSE_PROFILES"] == profiles
        address = environment.get("DATABASE_POOLER_URL", "")
        assert address == ("postgresql://pgbouncer:6432?sslmode=disable" if value == "1" else "")
