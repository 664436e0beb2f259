"""Validators of the image and of the Compose files."""

from collections.abc import Sequence

from checks.containers import compose_policy, compose_schema, compose_settings, compose_volumes, dockerfile, locks
from checks.json_schemas import CHECK_JSONSCHEMA
from checks.validators import Validator

VALIDATORS: Sequence[Validator] = (
    Validator(name="compose: schema", check=compose_schema.check, needs=[CHECK_JSONSCHEMA]),
    Validator(name="compose: policy", check=compose_policy.check),
    Validator(name="compose: settings", check=compose_settings.check),
    Validator(name="compose: volumes", check=compose_volumes.check),
    Validator(name="dockerfile: lint", check=dockerfile.lint, needs=[dockerfile.HADOLINT]),
    Validator(name="dockerfile: policy", check=dockerfile.check_policy),
    Validator(name="dockerfile: locks", check=locks.check),
)
