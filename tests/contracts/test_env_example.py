"""`.env.example` lists exactly the variables that the processes read, with their defaults and descriptions."""

import re
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic_settings import BaseSettings

import gateway.settings
import notifications.settings
import orders.settings
import users.settings
import workers.settings
from checks.env_example import FILE, PAGE, check, format_default, render_env_example, render_page
from shared.config import GunicornSettings
from testkit.tokens import TokenIssuer

ROOT = Path(__file__).parents[2]
SETTINGS: list[type[BaseSettings]] = [
    GunicornSettings,
    gateway.settings.Settings,
    users.settings.Settings,
    orders.settings.Settings,
    notifications.settings.Settings,
    workers.settings.Settings,
    workers.settings.ReportSettings,
]
REQUIRED: dict[str, Any] = {
    **dict.fromkeys(("jwks_url", "users_url", "orders_url", "notifications_url"), "http://localhost"),
    "redis_url": "redis://localhost",
    "database_url": "postgresql://localhost/shop",
    "signing_key": TokenIssuer().private_pem,
    "workers_client_secret": "the-workers-secret",
    "smtp_host": "localhost",
    "mail_from": "Hopline <shop@hopline.example>",
}
"""Valid values of the settings without a default."""


@pytest.fixture(scope="module")
def entries() -> dict[str, tuple[str, str]]:
    """Return the comment and the default of each variable in the file, by name."""
    found: dict[str, tuple[str, str]] = {}
    for paragraph in (ROOT / FILE).read_text().split("\n\n"):
        if entry := re.fullmatch(r"((?:# .+\n)+)# ([A-Z0-9_]+)=(.*)", paragraph.strip()):
            comment, name, default = entry.groups()
            assert name not in found
            found[name] = (comment, default)
    return found


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: f"{settings.__module__}.{settings.__name__}")
def test_every_field_is_listed_with_its_default(
    entries: dict[str, tuple[str, str]], settings: type[BaseSettings]
) -> None:
    for name, field in settings.model_fields.items():
        comment, default = entries[name.upper()]
        assert ("Required." in comment) == field.is_required()
        if not field.is_required():
            assert default.strip("'") == format_default(field.default)


def test_every_variable_is_a_field(entries: dict[str, tuple[str, str]]) -> None:
    assert entries.keys() == {name.upper() for settings in SETTINGS for name in settings.model_fields}


def test_unchanged_copy_sets_no_variable() -> None:
    assert not dotenv_values(ROOT / FILE)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: f"{settings.__module__}.{settings.__name__}")
def test_settings_have_their_defaults_when_the_variables_of_the_file_are_set(
    entries: dict[str, tuple[str, str]],
    settings: type[BaseSettings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in entries:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("\n".join(f"{name}={default}" for name, (_, default) in entries.items()))
    required = {name: REQUIRED[name] for name, field in settings.model_fields.items() if field.is_required()}
    read = settings(**required)
    with_default = settings.model_fields.keys() - required.keys()
    assert read.model_fields_set >= {name for name in with_default if entries[name.upper()][1]}, ".env was not read"
    for name in with_default:
        assert getattr(read, name) == settings.model_fields[name].default, name


def test_generated_files_are_up_to_date() -> None:
    assert not list(check(ROOT)), "run: python -m checks.env_example"


def test_check_finds_files_with_an_outdated_default(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / FILE).write_text(render_env_example().replace("MAX_JOBS=10", "MAX_JOBS=11"))
    (tmp_path / PAGE).write_text(render_page().replace("| `MAX_JOBS` | `10` |", "| `MAX_JOBS` | `11` |"))
    assert [finding.place for finding in check(tmp_path)] == [FILE, PAGE]


def test_dotenv_is_ignored_by_git_and_by_image_builds() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    assert "**/.env*" in (ROOT / ".dockerignore").read_text().splitlines()
