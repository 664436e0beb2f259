"""Named crash points: the process ends hard, as by kill -9, at an exact place.

`CRASH_AT=relay.after_append` arms one; the settings refuse it in production. In development a fault switch arms one of
a running process (`shared.faults`). Unarmed, a point costs one comparison.
"""

import os

_armed = os.environ.get("CRASH_AT")

CRASHED = 137
"""Exit status of a crash point: that of a process killed by signal 9."""


def crash_point(name: str) -> None:
    """End the process at once, without clean-up, where `name` is armed."""
    if name == _armed:
        os._exit(CRASHED)


def arm(name: str | None) -> None:
    """Have this process end at `name`; with None where its environment says, if at all."""
    global _armed  # noqa: PLW0603 - as global as the process that ends
    _armed = name or os.environ.get("CRASH_AT")
