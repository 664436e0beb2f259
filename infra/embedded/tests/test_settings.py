"""Folders, ports, secrets and environments of a stack that is not running."""

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from embedded.environment import Environments, read_dotenv
from embedded.errors import EmbeddedError
from embedded.ports import PORTS
from embedded.secrets import Secrets
from embedded.stack import MAX_SOCKET_PATH_BYTES, Stack
from shared.validation.port_offset import MAX_PORT_OFFSET


class TestStack:
    def test_home_and_offset_come_from_the_environment(self, tmp_path: Path) -> None:
        stack = Stack.from_environment({"HOPLINE_HOME": str(tmp_path), "HOPLINE_PORT_OFFSET": "300"})
        assert (stack.home, stack.port("gateway")) == (tmp_path, 8300)

    @pytest.mark.parametrize("offset", ["-1", "many", "1_0", str(MAX_PORT_OFFSET + 1), "9" * 5_000])
    def test_invalid_offset_is_rejected(self, offset: str) -> None:
        with pytest.raises(EmbeddedError, match=f"HOPLINE_PORT_OFFSET={offset}: expected a whole number"):
            Stack.from_environment({"HOPLINE_PORT_OFFSET": offset})

    def test_highest_offset_leaves_every_port_below_the_last_one(self) -> None:
        assert MAX_PORT_OFFSET + max(port.number for port in PORTS.values()) == 65_535

    def test_folder_with_other_files_is_neither_used_nor_removed(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(EmbeddedError, match="not created by Hopline"):
            Stack(tmp_path).create()
        with pytest.raises(EmbeddedError, match="it is not removed"):
            Stack(tmp_path).remove()
        assert (tmp_path / "thesis.txt").exists()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a folder")
    def test_stack_is_rejected_when_it_belongs_to_another_account(self, stack: Stack) -> None:
        stack.create()
        os.chown(stack.home, 65534, 65534)
        with pytest.raises(EmbeddedError, match="belongs to nobody: run this as nobody"):
            stack.create()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a folder")
    def test_stack_is_rejected_when_its_account_has_no_name(self, stack: Stack) -> None:
        stack.create()
        os.chown(stack.home, 54321, 54321)
        with pytest.raises(EmbeddedError, match="belongs to uid 54321: run this as uid 54321"):
            stack.create()

    @pytest.mark.parametrize("home", ["file", "file/home"])
    def test_home_is_rejected_when_it_cannot_be_created(self, tmp_path: Path, home: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(
            EmbeddedError, match=f"{tmp_path / home} cannot be created: .*: choose another HOPLINE_HOME"
        ):
            Stack(tmp_path / home).create()

    def test_remove_deletes_the_created_files(self, stack: Stack) -> None:
        stack.create()
        assert stack.remove() is True
        assert not stack.home.exists()
        assert stack.remove() is False

    def test_path_of_the_socket_is_below_the_limit_of_the_system(self, tmp_path: Path) -> None:
        assert len(str(Stack(tmp_path / ("long" * 40)).socket)) <= MAX_SOCKET_PATH_BYTES

    def test_second_command_is_rejected_while_another_changes_the_stack(self, stack: Stack) -> None:
        with stack.changing(), pytest.raises(EmbeddedError, match="another command"), stack.changing():
            pass

    def test_second_command_is_rejected_when_the_home_could_not_be_removed(self, stack: Stack) -> None:
        stack.home.mkdir()
        with stack.changing():
            with pytest.raises(EmbeddedError, match="it is not removed"):
                stack.remove()
            with pytest.raises(EmbeddedError, match="another command"), stack.changing():
                pass


class TestSecrets:
    def test_secrets_are_generated_once_and_readable_only_by_the_owner(self, tmp_path: Path) -> None:
        key = Secrets(tmp_path).signing_key()
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert isinstance(load_pem_private_key(key.read_bytes(), None), Ed25519PrivateKey)
        before = key.read_bytes(), Secrets(tmp_path).database_password("orders")
        assert before == (Secrets(tmp_path).signing_key().read_bytes(), Secrets(tmp_path).database_password("orders"))

    def test_unchanged_file_is_not_written(self, tmp_path: Path) -> None:
        file = Secrets(tmp_path).write("url", "one")
        os.utime(file, ns=(0, 0))
        Secrets(tmp_path).write("url", "one")
        assert file.stat().st_mtime_ns == 0
        Secrets(tmp_path).write("url", "two")
        assert file.read_text() == "two"


class TestReadDotenv:
    @pytest.fixture
    def file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for name in ("ENVIRONMENT", "LOG_LEVEL", "MAX_JOBS", "PYTHON_DOTENV_DISABLED"):
            monkeypatch.setenv(name, "")  # monkeypatch restores it
            monkeypatch.delenv(name)
        (tmp_path / ".env").write_text("LOG_LEVEL=DEBUG\nMAX_JOBS=3\n")
        return tmp_path / ".env"

    def test_variables_of_the_shell_take_precedence(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LOG_LEVEL", "ERROR")
        read_dotenv(file)
        assert (os.environ["LOG_LEVEL"], os.environ["MAX_JOBS"]) == ("ERROR", "3")

    @pytest.mark.parametrize(("variable", "value"), [("ENVIRONMENT", "production"), ("PYTHON_DOTENV_DISABLED", "1")])
    def test_dotenv_is_not_read_in_production_or_when_disabled(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
    ) -> None:
        monkeypatch.setenv(variable, value)
        read_dotenv(file)
        assert "MAX_JOBS" not in os.environ


class TestEnvironments:
    @pytest.fixture
    def created(self, tmp_path: Path) -> Stack:
        stack = Stack(tmp_path, 100)
        stack.create()
        return stack

    def test_addresses_are_those_of_the_stack_when_the_shell_has_others(self, created: Stack) -> None:
        shell = {"DATABASE_URL": "postgresql://elsewhere/x", "PORT": "1", "SIGNING_KEY_FILE": "/x", "LANG": "C"}
        environments = Environments(created, shell)
        assert not environments.inherited().keys() & {"DATABASE_URL", "PORT", "SIGNING_KEY_FILE"}
        assert environments.inherited()["LANG"] == "C"
        orders = environments.of("orders")
        assert orders["PORT"] == "8102"
        assert orders["JWKS_URL"] == "http://127.0.0.1:8101/.well-known/jwks.json"
        assert orders["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4418"
        assert Path(orders["DATABASE_URL_FILE"]).read_text().endswith("@127.0.0.1:25532/orders")

    def test_other_settings_come_from_the_shell(self, created: Stack) -> None:
        environments = Environments(created, {"WEB_CONCURRENCY": "3", "CRASH_AT": "relay.after_append"})
        assert environments.of("users")["WEB_CONCURRENCY"] == "3"
        assert environments.inherited()["CRASH_AT"] == "relay.after_append"

    def test_empty_variables_of_the_shell_mean_the_defaults_of_the_stack(self, created: Stack) -> None:
        names = ("MAIL_FROM", "OBJECT_STORE_URL", "LOG_FORMAT", "DATABASE_POOL_SIZE")
        shell = dict.fromkeys(names, "")
        assert Environments(created, shell).of("worker") == Environments(created, {}).of("worker")

    def test_nothing_is_exported_when_the_endpoint_is_empty(self, created: Stack) -> None:
        environments = Environments(created, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""})
        assert environments.of("users")["OTEL_EXPORTER_OTLP_ENDPOINT"] == ""
