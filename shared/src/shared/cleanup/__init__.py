"""Cleanup: each service deletes its own expired rows when the workers' schedules request it.

- `service`: the cleanup tasks of a service, and the service that runs them
- `routes`: `/internal/housekeeping`

A request runs every task once. Each task deletes one batch of limited size in a short transaction. The response shows
whether rows may be left. Requests can be repeated safely.
"""

from shared.cleanup.service import (
    CONSUMER_TASKS,
    CleanupLimits,
    CleanupRequest,
    CleanupResult,
    CleanupService,
    CleanupTask,
    EventsSince,
    outbox_cleanup,
)

__all__ = [
    "CONSUMER_TASKS",
    "CleanupLimits",
    "CleanupRequest",
    "CleanupResult",
    "CleanupService",
    "CleanupTask",
    "EventsSince",
    "outbox_cleanup",
]
