"""HOPLINE_PORT_OFFSET: the number that a stack adds to all its ports, so that several stacks can run side by side."""

from typing import Final

MAX_PORT_OFFSET: Final = 39_103
"""With this offset the highest port of a stack is 65535. A test compares it with the ports of `embedded.ports`."""


def parse_port_offset(text: str) -> int:
    """Return the offset of a value of HOPLINE_PORT_OFFSET. An empty value is 0.

    Raises:
        ValueError: It is not a whole number from 0 to MAX_PORT_OFFSET. The message does not contain the value.
    """
    if not text:
        return 0
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PORT_OFFSET)) and int(text) <= MAX_PORT_OFFSET:
        return int(text)
    raise ValueError(f"expected a whole number from 0 to {MAX_PORT_OFFSET}")
