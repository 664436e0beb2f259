"""Numbers in text: only ASCII decimal digits are accepted, in request parameters and in settings.

Python and pydantic accept more: `1_0`, ` 3 `, `+3`, digits of other scripts, and `3.0` as an integer. Numbers in JSON
bodies use `pydantic.StrictInt`, which accepts neither text nor `true`.
"""

import re
from typing import Final

from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

_WHOLE = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def validate_integer(value: object) -> object:
    """Return `value`; raises PydanticKnownError for text that is not an integer."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise PydanticKnownError("int_parsing")
    return value


def validate_decimal(value: object) -> object:
    """Return `value`; raises PydanticKnownError for text that is not a decimal number."""
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise PydanticKnownError("float_parsing")
    return value


DIGITS: Final = BeforeValidator(validate_integer)
"""For an `int` request parameter. Put it last in the `Annotated`, so that OpenAPI keeps the bounds."""
