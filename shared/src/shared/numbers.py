"""Numbers in text: decimal digits of ASCII, in parameters of requests and in settings.

Python and pydantic read more: `1_0`, ` 3 `, `+3`, digits of other scripts, and `3.0` as a whole number. Members of JSON
bodies that are numbers are `pydantic.StrictInt`, which takes no text and no `true`.
"""

import re
from typing import Final

from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

_WHOLE = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def whole(value: object) -> object:
    """Return `value`; raises PydanticKnownError for text that is not a whole number."""
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise PydanticKnownError("int_parsing")
    return value


def decimal(value: object) -> object:
    """Return `value`; raises PydanticKnownError for text that is not a decimal number."""
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise PydanticKnownError("float_parsing")
    return value


DIGITS: Final = BeforeValidator(whole)
"""For an `int` parameter of a request: the last part of its `Annotated`, so that bounds stay in the document."""
