"""Settings sources, and the exit when settings are invalid."""

import os
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

CONFIGURATION_ERROR = 4
"""Exit status of a process with invalid settings. It is gunicorn's APP_LOAD_ERROR, so the master stops as well."""


class Environment(StrEnum):
    """Where the process runs."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class ConfigurationError(Exception):
    """The settings are invalid or do not fit the environment, such as the limits of the database server."""


class SecretFileSource(PydanticBaseSettingsSource):
    """Reads `FIELD` from the file that `FIELD_FILE` names; raises ConfigurationError if it cannot be read."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return (value, key, is_complex) of a field; the value is None without a file."""
        for name in (field_name, *old_names(field)):
            variable = f"{name}_FILE".upper()
            if path := os.environ.get(variable):
                return read_secret_file(variable, path), field_name, False
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the values of all fields with a file."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def read_secret_file(variable: str, path: str) -> str:
    """Return the text of the file `path`, which the environment variable names, without line breaks at the end.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"{variable}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:  # without a cause, because its message would contain bytes of the secret
        raise ConfigurationError(f"{variable}: cannot read {path}: the file is not UTF-8") from None


def old_names(field: FieldInfo) -> list[str]:
    """Return the names that the field had in the last release: its aliases after the first."""
    alias = field.validation_alias
    return [str(name) for name in alias.choices[1:]] if isinstance(alias, AliasChoices) else []


def warn_of_old_names(settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource) -> None:
    """Warn of each variable in `source` that is set under an old name."""
    variables = source.env_vars if isinstance(source, EnvSettingsSource) else {}
    for name, field in settings_cls.model_fields.items():
        for old in old_names(field):
            for suffix in ("", "_file"):
                if variables.get(old + suffix):
                    old_variable, variable = f"{old}{suffix}".upper(), f"{name}{suffix}".upper()
                    message = f"{old_variable} was renamed to {variable}; the next release ignores the old name"
                    warnings.warn(message, FutureWarning, stacklevel=2)


def dotenv_enabled() -> bool:
    """Return whether `.env` is read: in development, unless PYTHON_DOTENV_DISABLED is set."""
    disabled = os.environ.get("PYTHON_DOTENV_DISABLED", "").casefold() in {"1", "true", "t", "yes", "y"}
    return not disabled and (os.environ.get("ENVIRONMENT") or Environment.DEVELOPMENT) == Environment.DEVELOPMENT


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def load_settings(settings_type: type[SettingsT]) -> SettingsT:
    """Read the settings. If they are invalid, print one line per variable on standard error and exit with status 4."""
    try:
        return settings_type()
    except ValidationError as error:
        reasons = [
            f"{_variable(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}" for problem in error.errors()
        ]
    except ConfigurationError as error:
        reasons = [str(error)]
    for reason in reasons:
        sys.stderr.write(f"configuration error: {reason}\n")
    sys.exit(CONFIGURATION_ERROR)


def _variable(location: tuple[int | str, ...]) -> str:
    return str(location[0]).upper() if location else "settings"
