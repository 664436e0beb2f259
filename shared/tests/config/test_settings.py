"""Settings from the environment, from secret files and from `.env`, and the errors that end a start."""

from pathlib import Path

import pytest
from pydantic import AliasChoices, Field, SecretStr

from shared.config import (
    CONFIGURATION_ERROR,
    DatabaseSettings,
    Environment,
    ObjectStoreSettings,
    PersistentObjectStoreSettings,
    RedisSettings,
    ServiceSettings,
    load_settings,
)


class Settings(DatabaseSettings, RedisSettings, ServiceSettings):
    pass


class RenamedSettings(Settings):
    """Settings with the variable NEW_LIMIT, which was OLD_LIMIT before."""

    new_limit: int = Field(1, validation_alias=AliasChoices("new_limit", "old_limit"))


class GreetingSettings(ServiceSettings):
    greeting: SecretStr


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the required variables, and delete those that a developer may have set."""
    for name in ("ENVIRONMENT", "LOG_LEVEL", "CRASH_AT", "WEB_CONCURRENCY", "DRAIN_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:word@localhost:1/orders")
    monkeypatch.setenv("REDIS_URL", "redis://localhost:1/0")
    return monkeypatch


@pytest.fixture
def dotenv(environment: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Create a `.env` in the working directory, and enable `.env`, which the test runner disables."""
    environment.delenv("PYTHON_DOTENV_DISABLED")
    environment.chdir(tmp_path)
    Path(".env").write_text(
        "DRAIN_SECONDS=4\nDATABASE_URL=postgresql://user:word@localhost:1/from-dotenv\nVARIABLE_OF_ANOTHER_PROCESS=1\n"
    )
    return environment


class TestLoadSettings:
    def test_settings_come_from_the_environment(self) -> None:
        settings = load_settings(Settings)
        assert settings.environment is Environment.DEVELOPMENT
        assert settings.database_url.path == "/orders"

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("DATABASE_URL", "mysql://localhost/orders"),
            ("WEB_CONCURRENCY", "many"),
            ("WEB_CONCURRENCY", "0"),
            ("WEB_CONCURRENCY", "1_0"),
            ("DATABASE_POOL_SIZE", " 3"),
            ("DATABASE_POOL_SIZE", "٣"),  # a digit that is not ASCII
            ("DRAIN_SECONDS", "1_0"),
            ("DRAIN_SECONDS", "nan"),
            ("LOG_LEVEL", "LOUD"),
            ("ENVIRONMENT", "prod"),
        ],
    )
    def test_start_fails_with_the_variable_when_a_value_is_invalid(
        self,
        environment: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        variable: str,
        value: str,
    ) -> None:
        environment.setenv(variable, value)
        with pytest.raises(SystemExit) as stopped:
            load_settings(Settings)
        assert stopped.value.code == CONFIGURATION_ERROR
        assert f"configuration error: {variable}: " in capsys.readouterr().err

    def test_start_fails_with_each_variable_that_is_missing(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.delenv("DATABASE_URL")
        environment.delenv("REDIS_URL")
        with pytest.raises(SystemExit):
            load_settings(Settings)
        assert sorted(capsys.readouterr().err.splitlines()) == [
            "configuration error: DATABASE_URL: Field required",
            "configuration error: REDIS_URL: Field required",
        ]

    def test_secret_is_read_from_a_file(self, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
        environment.delenv("DATABASE_URL")
        secret = tmp_path / "database_url"
        secret.write_text("postgresql://user:from-file@localhost:1/orders\n")
        environment.setenv("DATABASE_URL_FILE", str(secret))
        assert load_settings(Settings).database_url.hosts()[0]["password"] == "from-file"

    def test_start_fails_with_the_file_when_it_cannot_be_read(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.delenv("REDIS_URL")
        environment.setenv("REDIS_URL_FILE", "/nowhere/redis_url")
        with pytest.raises(SystemExit):
            load_settings(Settings)
        assert "REDIS_URL_FILE: cannot read /nowhere/redis_url" in capsys.readouterr().err

    def test_start_fails_with_the_variable_when_its_file_is_not_utf_8(
        self, environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        secret = tmp_path / "redis_url"
        secret.write_bytes(b"redis://:\xff@localhost:1/0\n")
        environment.delenv("REDIS_URL")
        environment.setenv("REDIS_URL_FILE", str(secret))
        with pytest.raises(SystemExit) as stopped:
            load_settings(Settings)
        assert stopped.value.code == CONFIGURATION_ERROR
        expected = f"configuration error: REDIS_URL_FILE: cannot read {secret}: the file is not UTF-8\n"
        assert capsys.readouterr().err == expected

    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_only_line_ends_are_removed_from_the_content_of_a_file(
        self, environment: pytest.MonkeyPatch, tmp_path: Path, end: str
    ) -> None:
        secret = tmp_path / "greeting"
        secret.write_bytes(f" two words {end}".encode())
        environment.setenv("GREETING_FILE", str(secret))
        assert load_settings(GreetingSettings).greeting.get_secret_value() == " two words "

    @pytest.mark.parametrize("source", ["environment", "file", ".env"])
    def test_renamed_variable_is_read_under_its_old_name_with_a_warning(
        self, dotenv: pytest.MonkeyPatch, tmp_path: Path, source: str
    ) -> None:
        (tmp_path / "value").write_text("3\n")
        match source:
            case "environment":
                dotenv.setenv("OLD_LIMIT", "3")
            case "file":
                dotenv.setenv("OLD_LIMIT_FILE", str(tmp_path / "value"))
            case _:
                (tmp_path / ".env").write_text("OLD_LIMIT=3\n")
        with pytest.warns(FutureWarning, match="^OLD_LIMIT(_FILE)? was renamed to NEW_LIMIT"):
            assert load_settings(RenamedSettings).new_limit == 3

    def test_new_name_of_a_renamed_variable_takes_precedence(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("NEW_LIMIT", "4")
        environment.setenv("OLD_LIMIT", "3")
        with pytest.warns(FutureWarning, match="^OLD_LIMIT was renamed"):
            assert load_settings(RenamedSettings).new_limit == 4
        environment.delenv("OLD_LIMIT")
        assert RenamedSettings(new_limit=5).new_limit == 5, "an argument takes precedence over the environment"

    def test_start_fails_when_the_value_of_a_renamed_variable_is_invalid(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("NEW_LIMIT", "many")
        with pytest.raises(SystemExit):
            load_settings(RenamedSettings)
        assert "configuration error: NEW_LIMIT: " in capsys.readouterr().err

    def test_crash_points_are_rejected_in_production(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("ENVIRONMENT", "production")
        environment.setenv("CRASH_AT", "relay.after_append")
        with pytest.raises(SystemExit):
            load_settings(Settings)
        assert "CRASH_AT is rejected in production" in capsys.readouterr().err

    @pytest.mark.parametrize("secret", ["development-only", "development-only: a key\n-----BEGIN PRIVATE KEY-----"])
    def test_secrets_of_the_repository_are_rejected_in_production(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], secret: str
    ) -> None:
        class KeySettings(Settings):
            key: SecretStr

        environment.setenv("KEY", secret)
        assert load_settings(KeySettings).key.get_secret_value() == secret
        environment.setenv("ENVIRONMENT", "production")
        with pytest.raises(SystemExit):
            load_settings(KeySettings)
        assert "KEY is a secret of the repository, which production rejects" in capsys.readouterr().err

    def test_url_with_a_password_of_the_repository_is_rejected_in_production(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("REDIS_URL", "redis://:development-only@redis:6379/0")
        environment.setenv("ENVIRONMENT", "production")
        with pytest.raises(SystemExit):
            load_settings(Settings)
        assert "REDIS_URL is a secret of the repository" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("variable", "value"),
        [("S3_ACCESS_KEY_ID", "key\n"), ("S3_REGION", "eu\n"), ("OBJECT_STORE_URL", "s3:///without-a-bucket")],
    )
    def test_s3_setting_is_rejected_when_no_request_could_succeed(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
    ) -> None:
        environment.setenv(variable, value)
        with pytest.raises(SystemExit):
            load_settings(PersistentObjectStoreSettings)
        assert f"configuration error: {variable}: " in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("url", "is_rejected"),
        [
            ("", True),
            ("file:///tmp/objects", True),
            ("file:///tmp", True),
            ("file:////tmp/objects", True),
            ("file:///srv/../tmp/objects", True),
            ("file:///%74mp/objects", True),
            ("file:///srv/objects", False),
            ("file:///tmpfiles", False),
            ("s3://reports/tmp/objects", False),
        ],
    )
    def test_object_store_is_rejected_in_production_when_it_is_temporary(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, is_rejected: bool
    ) -> None:
        environment.setenv("OBJECT_STORE_URL", url)
        assert load_settings(PersistentObjectStoreSettings).object_store_url
        environment.setenv("ENVIRONMENT", "production")
        if not is_rejected:
            assert load_settings(PersistentObjectStoreSettings).object_store_url == url
            return
        with pytest.raises(SystemExit):
            load_settings(PersistentObjectStoreSettings)
        expected = (
            "configuration error: settings: OBJECT_STORE_URL is rejected below /tmp in production, because its files "
            "would be lost with the container. Set it to a folder on a volume or to s3://bucket/prefix\n"
        )
        assert capsys.readouterr().err == expected

    @pytest.mark.parametrize("variable", ["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"])
    def test_start_fails_when_only_half_of_the_s3_key_is_set(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
    ) -> None:
        environment.setenv(variable, "half")
        with pytest.raises(SystemExit):
            load_settings(ObjectStoreSettings)
        assert "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY must be set together" in capsys.readouterr().err

    def test_settings_come_from_dotenv_in_development(self, dotenv: pytest.MonkeyPatch) -> None:
        dotenv.delenv("DATABASE_URL")
        settings = load_settings(Settings)
        assert settings.database_url.path == "/from-dotenv"
        assert settings.drain_seconds == 4

    def test_environment_takes_precedence_over_dotenv(self, dotenv: pytest.MonkeyPatch) -> None:
        assert load_settings(Settings).database_url.path == "/orders"

    def test_secret_files_take_precedence_over_dotenv(self, dotenv: pytest.MonkeyPatch, tmp_path: Path) -> None:
        dotenv.delenv("DATABASE_URL")
        (tmp_path / "secret").write_text("postgresql://user:word@localhost:1/from-file")
        dotenv.setenv("DATABASE_URL_FILE", str(tmp_path / "secret"))
        assert load_settings(Settings).database_url.path == "/from-file"

    @pytest.mark.parametrize(
        ("variable", "value"), [("ENVIRONMENT", "production"), ("ENVIRONMENT", "test"), ("PYTHON_DOTENV_DISABLED", "1")]
    )
    def test_dotenv_is_ignored_outside_development_and_when_disabled(
        self, dotenv: pytest.MonkeyPatch, variable: str, value: str
    ) -> None:
        dotenv.setenv(variable, value)
        assert load_settings(Settings).drain_seconds == Settings.model_fields["drain_seconds"].default

    def test_start_fails_with_the_variable_when_a_value_in_dotenv_is_invalid(
        self, dotenv: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path(".env").write_text("DRAIN_SECONDS=soon")
        with pytest.raises(SystemExit):
            load_settings(Settings)
        assert "configuration error: DRAIN_SECONDS: " in capsys.readouterr().err

    def test_settings_are_frozen(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            setattr(load_settings(Settings), "log_level", "DEBUG")  # noqa: B010 - mypy rejects a plain assignment
