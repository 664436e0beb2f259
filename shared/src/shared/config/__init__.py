"""Settings of a process, read once from the environment.

A process composes its settings from base classes, so that it declares only the settings that it uses::

    class Settings(DatabaseSettings, RedisSettings, ServiceSettings):
        public_ws_url: WebsocketUrl

The order of precedence is: arguments, environment variables, secret files, `.env`.

- `X_FILE=/run/secrets/x` sets `X` to the content of that file. Docker and Kubernetes mount secrets as files.
- A renamed variable is read under its old name, an alias of the field, for one release, with a warning.
- `.env` in the working directory is read in development only: the environment variable `ENVIRONMENT` is unset or
  `development`. `PYTHON_DOTENV_DISABLED=1` turns it off; the test runner and the benchmarks set it.

Every field has a description, from which `python -m checks.env_example` generates `.env.example`. If a value is missing
or invalid, the process ends before it serves and prints one line per variable.

- `process`: every process, gunicorn, every service and worker, access tokens
- `stores`: PostgreSQL, Redis and the object store
- `telemetry`: OpenTelemetry's variables
- `loading`: where values are read from
"""

from shared.config.loading import (
    CONFIGURATION_ERROR,
    ConfigurationError,
    Environment,
    load_settings,
    old_names,
    read_secret_file,
)
from shared.config.process import (
    DEVELOPMENT_ONLY,
    GunicornSettings,
    HttpTransport,
    JwksSettings,
    LogFormat,
    ProcessSettings,
    ServiceSettings,
    TokenSettings,
    WebsocketSettings,
    WorkersClientSettings,
)
from shared.config.stores import (
    DatabaseSettings,
    ObjectStoreSettings,
    OutboxSettings,
    PersistentObjectStoreSettings,
    RedisSettings,
)
from shared.config.telemetry import Exporter, OtlpProtocol, Signal, TracesSampler

__all__ = [
    "CONFIGURATION_ERROR",
    "DEVELOPMENT_ONLY",
    "ConfigurationError",
    "DatabaseSettings",
    "Environment",
    "Exporter",
    "GunicornSettings",
    "HttpTransport",
    "JwksSettings",
    "LogFormat",
    "ObjectStoreSettings",
    "OtlpProtocol",
    "OutboxSettings",
    "PersistentObjectStoreSettings",
    "ProcessSettings",
    "RedisSettings",
    "ServiceSettings",
    "Signal",
    "TokenSettings",
    "TracesSampler",
    "WebsocketSettings",
    "WorkersClientSettings",
    "load_settings",
    "old_names",
    "read_secret_file",
]
