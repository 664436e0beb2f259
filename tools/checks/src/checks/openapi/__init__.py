"""The gateway's OpenAPI documents: version 1 does not change, version 2 stays compatible, and both are valid."""

from collections.abc import Sequence

from checks.openapi import documents, lint
from checks.validators import Validator

VALIDATORS: Sequence[Validator] = (
    Validator(name="openapi: compatibility of both versions", check=documents.check),
    Validator(name="openapi: redocly lint", check=lint.check, needs=[lint.REDOCLY]),
)
