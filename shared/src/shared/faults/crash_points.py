"""Named crash points, at which a process ends as if it was killed by signal 9.

`CRASH_AT=relay.after_append` arms one. The settings reject it in production. In development a fault of kind `crash`
arms one in a running process. A crash point that is not armed costs one comparison.
"""

import os

_armed = os.environ.get("CRASH_AT")

CRASHED = 137
"""Exit status of a crash point: that of a process killed by signal 9."""


def crash_point(name: str) -> None:
    """End the process immediately, without clean-up, if `name` is armed."""
    if name == _armed:
        os._exit(CRASHED)


def arm_crash_point(name: str | None) -> None:
    """Arm the crash point `name`; None restores the one of CRASH_AT."""
    global _armed  # noqa: PLW0603 - it belongs to the process
    _armed = name or os.environ.get("CRASH_AT")
