"""The selected Compose project: its name, its ports on this machine, its secrets and its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

from embedded.environment import is_pooled, worker_count
from embedded.ports import Port
from embedded.secrets import Secrets
from embedded.stack import ROOT, Stack
from shared.commands.pgbouncer import PORT, render_ini, render_userlist
from shared.connections import PGBOUNCER_POOL_SIZE

FILE = ROOT / "infra" / "compose" / "compose.yaml"
DATABASES = ("users", "orders", "notifications", "workers")
POOLER = "pgbouncer"
"""Name of the service and of its profile, which HOPLINE_PGBOUNCER=1 enables."""

PUBLISHED = {
    "gateway": Port(8000, "gateway", "the public API"),
    "notifications": Port(8003, "sockets", "WebSockets"),
    "mailpit": Port(8025, "mailpit", "the mailbox"),
    "jaeger": Port(16686, "jaeger", "traces"),
    "loki": Port(3100, "loki", "logs"),
    "prometheus": Port(9090, "prometheus", "metrics"),
    "grafana": Port(3000, "grafana", "dashboards"),
    "locust": Port(8089, "locust", "load tests"),
}
"""The published ports; `Port.process` is the Compose service. Other services have no port on this machine."""


MEMORY_MB = {"gateway": (136, 70), "users": (176, 110), "orders": (160, 70), "notifications": (176, 70)}
"""Memory limit of a service with one worker process, and the addition for each further process, in MB."""


@dataclass(frozen=True)
class Project:
    """One stack on this engine. Each HOPLINE_PORT_OFFSET is a separate project with separate data."""

    stack: Stack

    @property
    def name(self) -> str:
        """Compose's project name, the prefix of the names of containers, networks and volumes."""
        return f"hopline-{self.stack.offset}" if self.stack.offset else "hopline"

    @property
    def secrets(self) -> Path:
        """Folder of the secret files that are mounted in containers."""
        return self.stack.secrets / self.name.replace("hopline", "compose")

    def port(self, name: str) -> int:
        """Return the number of a published port in this project."""
        return PUBLISHED[name].number + self.stack.offset

    def environment(self, caller: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that Compose interpolates: the caller's environment and those of this project."""
        workers = worker_count(caller.get("WEB_CONCURRENCY") or "1")
        additional = int(workers) - 1 if workers.isdecimal() else 0  # the services reject an invalid value
        memory = {
            f"HOPLINE_MEMORY_{name.upper()}": f"{first + additional * per_worker}M"
            for name, (first, per_worker) in MEMORY_MB.items()
        }
        profiles = [name for name in (caller.get("COMPOSE_PROFILES") or "").split(",") if name]
        pooler = {"DATABASE_POOLER_URL": f"postgresql://{POOLER}:{PORT}?sslmode=disable"} if is_pooled(caller) else {}
        ports = {f"HOPLINE_PORT_{name.upper()}": str(self.port(name)) for name in PUBLISHED}
        return {
            **caller,
            **ports,
            **memory,
            **pooler,
            "COMPOSE_PROFILES": ",".join([*profiles, *([POOLER] if pooler else [])]),
            "WEB_CONCURRENCY": workers,
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_FILE": caller.get("COMPOSE_FILE") or str(FILE),
            "HOPLINE_SECRETS": str(self.secrets),
        }

    def write_secrets(self, *, pooler_size: int = PGBOUNCER_POOL_SIZE) -> None:
        """Generate missing secrets, and write the files that are derived from them.

        Containers mount the files and read them as other users. Therefore all users can read the files, but only the
        owner can enter the folder.
        """
        self.stack.create()
        self.secrets.mkdir(mode=0o700, exist_ok=True)
        secrets = Secrets(self.secrets)
        secrets.signing_key()
        secrets.client_secret()
        for role in ("superuser", "monitor", *DATABASES):
            secrets.database_password(role)
        urls = {
            name: f"postgresql://{name}:{secrets.database_password(name)}@postgres:5432/{name}" for name in DATABASES
        }
        for name, url in urls.items():
            secrets.write(f"database-url-{name}", url)
        ini = render_ini(urls.values(), auth_file="/run/secrets/pgbouncer-userlist", pool_size=pooler_size)
        secrets.write("pgbouncer-ini", ini)
        secrets.write("pgbouncer-userlist", render_userlist(urls.values()))
        if not (self.secrets / "grafana-admin").exists():
            secrets.write("grafana-admin", token_urlsafe(24))
        for file in self.secrets.iterdir():
            file.chmod(0o644)


def from_environment(environ: Mapping[str, str] = os.environ) -> Project:
    """Return the project that HOPLINE_HOME and HOPLINE_PORT_OFFSET select.

    Raises:
        EmbeddedError: One of the two is invalid.
    """
    return Project(Stack.from_environment(environ))
