"""All validators, in the order in which their findings are printed."""

from collections.abc import Sequence

from checks import (
    browser,
    containers,
    env_example,
    files,
    kubernetes,
    openapi,
    prose,
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
    *env_example.VALIDATORS,
    *references.VALIDATORS,
    *vocabulary.VALIDATORS,
    *prose.VALIDATORS,
    *openapi.VALIDATORS,
    *browser.VALIDATORS,
    *kubernetes.VALIDATORS,
)
