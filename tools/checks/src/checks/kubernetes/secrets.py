"""Secrets in the repository are marked as development secrets in their value, and production does not use them."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from checks.findings import Finding
from checks.kubernetes.manifests import Rendering
from checks.kubernetes.settings import environment, sources
from shared.config import DEVELOPMENT_ONLY


def check_secrets(rendering: Rendering) -> Iterator[Finding]:
    """Report Secrets of the repository in production, and values that are not marked as development secrets."""
    production = any(
        environment(rendering, workload, container).get("ENVIRONMENT") == "production"
        for workload in rendering.workloads
        for container in workload.containers
    )
    for secret in rendering.of("Secret"):
        if production:
            yield Finding(secret.place, "production uses a Secret of the repository", "refer to an external one")
        for key, value in sources(rendering)["Secret", secret.name].values.items():
            if DEVELOPMENT_ONLY not in value and not _address_without_password(value):
                problem = f"{key} is not marked as a development secret, so production would accept it"
                yield Finding(secret.place, problem, f"add {DEVELOPMENT_ONLY} to the value")


def _address_without_password(value: str) -> bool:
    return "://" in value and not urlsplit(value).password
