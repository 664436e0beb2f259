"""Named crash points: the process ends hard, as by kill -9, at an exact place.

`CRASH_AT=relay.after_append` arms one; the settings refuse it in production. Unarmed, a point costs one comparison.
"""

import os

_ARMED = os.environ.get("CRASH_AT")

CRASHED = 137
"""Exit status of a crash point: that of a process killed by signal 9."""


def crash_point(name: str) -> None:
    """End the process at once, without clean-up, where `name` is armed."""
    if name == _ARMED:
        os._exit(CRASHED)
