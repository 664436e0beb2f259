"""Which Compose project is meant: its name, its ports on this machine, its secrets, its environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

from compose.errors import ComposeError
from embedded.environment import worker_count
from embedded.ports import Port
from embedded.secrets import Secrets
from embedded.stack import ROOT, Stack

FILE = ROOT / "infra" / "compose" / "compose.yaml"
DATABASES = ("users", "orders", "notifications", "workers")

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
"""What a person opens; `Port.process` is the Compose service. Everything else has no port on this machine."""


MEMORY_MB = {"gateway": (136, 70), "users": (176, 110), "orders": (160, 70), "notifications": (176, 70)}
"""Memory limits of the services with one worker process, and what each further process adds to them."""


@dataclass(frozen=True)
class Project:
    """One stack on this engine. Another HOPLINE_PORT_OFFSET is another project beside it, with data of its own."""

    stack: Stack

    @property
    def name(self) -> str:
        """Compose's project name, which leads the names of containers, networks and volumes."""
        return f"hopline-{self.stack.offset}" if self.stack.offset else "hopline"

    @property
    def secrets(self) -> Path:
        """Folder of the secret files that containers are given."""
        return self.stack.secrets / self.name.replace("hopline", "compose")

    def port(self, name: str) -> int:
        """Give the number of a published port in this project."""
        return PUBLISHED[name].number + self.stack.offset

    def environment(self, caller: Mapping[str, str]) -> dict[str, str]:
        """Give what Compose interpolates: the caller's environment, and what makes this project this project."""
        workers = worker_count(caller.get("WEB_CONCURRENCY") or "1")
        further = int(workers) - 1 if workers.isdecimal() else 0  # the services refuse a wrong value
        memory = {
            f"HOPLINE_MEMORY_{name.upper()}": f"{first + further * each}M" for name, (first, each) in MEMORY_MB.items()
        }
        ports = {f"HOPLINE_PORT_{name.upper()}": str(self.port(name)) for name in PUBLISHED}
        return {
            **caller,
            **ports,
            **memory,
            "WEB_CONCURRENCY": workers,
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_FILE": caller.get("COMPOSE_FILE") or str(FILE),
            "HOPLINE_SECRETS": str(self.secrets),
        }

    def write_secrets(self) -> None:
        """Generate the secrets that are missing.

        Containers get the files themselves, and read them as users of their own: the files are readable by all, in a
        folder that its owner alone can enter.
        """
        self.stack.create()
        self.secrets.mkdir(mode=0o700, exist_ok=True)
        secrets = Secrets(self.secrets)
        secrets.signing_key()
        secrets.client_secret()
        for role in ("superuser", "monitor", *DATABASES):
            secrets.database_password(role)
        for name in DATABASES:
            url = f"postgresql://{name}:{secrets.database_password(name)}@postgres:5432/{name}"
            secrets.write(f"database-url-{name}", url)
        if not (self.secrets / "grafana-admin").exists():
            secrets.write("grafana-admin", token_urlsafe(24))
        for file in self.secrets.iterdir():
            file.chmod(0o644)


def from_environment(environ: Mapping[str, str] = os.environ) -> Project:
    """Read HOPLINE_HOME and HOPLINE_PORT_OFFSET, as the embedded mode does; raises ComposeError."""
    stack = Stack.from_environment(environ)
    if stack.offset + max(port.number for port in PUBLISHED.values()) > 65_535:  # noqa: PLR2004 - the highest port
        raise ComposeError(f"HOPLINE_PORT_OFFSET={stack.offset}: too high")
    return Project(stack)
