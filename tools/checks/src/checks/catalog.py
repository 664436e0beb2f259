"""All validators, in the order in which they run."""

from collections.abc import Sequence

from checks import (
    browser,
    containers,
    env_example,
    files,
    kubernetes,
    openapi,
    references,
    telemetry,
    vocabulary,
    workflows,
)
from checks.validators import Validator

VALIDATORS: Sequence[Validator] = (
    *containers.VALIDATORS,
    *telemetry.VALIDATORS,
    *workflows.VALIDATORS,
    *files.VALIDATORS,
    Validator(name="files: .env.example, docs/settings.md", check=env_example.check),
    *references.VALIDATORS,
    *vocabulary.VALIDATORS,
    *openapi.VALIDATORS,
    *browser.VALIDATORS,
    *kubernetes.VALIDATORS,
)
