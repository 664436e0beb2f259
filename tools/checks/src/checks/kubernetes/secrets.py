"""Secrets in the repository are for development, say so in their value, and are in no overlay of production."""

from base64 import b64decode
from collections.abc import Iterator
from urllib.parse import urlsplit

from checks.findings import Finding
from checks.kubernetes.manifests import Manifest, Rendering
from checks.kubernetes.settings import environment
from shared.settings import DEVELOPMENT_ONLY


def check_secrets(rendering: Rendering) -> Iterator[Finding]:
    """Report Secrets of the repository in production, and values that do not say that they are public."""
    production = any(
        environment(rendering, workload, container).get("ENVIRONMENT") == "production"
        for workload in rendering.workloads
        for container in workload.containers
    )
    for secret in rendering.of("Secret"):
        if production:
            yield Finding(
                secret.place, "production would run with a Secret of the repository", "refer to an external one"
            )
        for key, value in _values(secret).items():
            if DEVELOPMENT_ONLY not in value and not _address_without_password(value):
                wrong = f"nothing in {key} says that everybody knows it, and so production would take it"
                yield Finding(secret.place, wrong, f"let the value contain {DEVELOPMENT_ONLY}")


def _values(secret: Manifest) -> dict[str, str]:
    encoded = {key: b64decode(value).decode() for key, value in secret.body.get("data", {}).items()}
    return {**encoded, **secret.body.get("stringData", {})}


def _address_without_password(value: str) -> bool:
    return "://" in value and not urlsplit(value).password
