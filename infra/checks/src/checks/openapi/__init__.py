"""The gateway's OpenAPI documents: version 1 stands still, version 2 only grows, and both are well-formed."""

from collections.abc import Sequence

from checks.openapi import documents, lint
from checks.validators import Validator

VALIDATORS: Sequence[Validator] = (
    Validator(name="openapi: version 1 stands still, version 2 only grows", check=documents.check),
    Validator(name="openapi: redocly lint", check=lint.check, needs=[lint.REDOCLY]),
)
