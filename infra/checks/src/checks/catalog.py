"""Every validator there is, in the order in which they run."""

from collections.abc import Sequence

from checks import containers, env_example, files, kubernetes, openapi, telemetry, workflows
from checks.validators import Validator

VALIDATORS: Sequence[Validator] = (
    *containers.VALIDATORS,
    *telemetry.VALIDATORS,
    *workflows.VALIDATORS,
    *files.VALIDATORS,
    Validator(name="files: .env.example, docs/settings.md", check=env_example.check),
    *openapi.VALIDATORS,
    *kubernetes.VALIDATORS,
)
