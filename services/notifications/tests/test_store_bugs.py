"""Statements that PostgreSQL rejects as invalid are logged as errors with a stack trace. Sockets close or continue."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from services.notifications.tests.clients import Device
from services.notifications.tests.factories import Cluster, Instance
from structlog.testing import capture_logs

from notifications.errors import CloseCode
from testkit.databases import execute
from testkit.waiting import eventually


class TestMissingTable:
    async def test_error_is_logged_with_its_stack_when_a_read_mark_cannot_be_stored(
        self, cluster: Cluster, instance: Instance, user: UUID, database: str
    ) -> None:
        await cluster.add_notifications(user)
        device = Device(user)
        async with device.connected(instance):
            await _rename_feed_head_table(database)
            with capture_logs() as records:
                await device.send({"t": "read", "up_to": 1})
                await eventually(lambda: "read_not_marked" in {record["event"] for record in records})
        assert _severity_of("read_not_marked", records) == ("error", True)

    async def test_error_is_logged_with_its_stack_and_the_socket_is_closed_when_the_welcome_cannot_be_sent(
        self, instance: Instance, user: UUID, database: str
    ) -> None:
        await _rename_feed_head_table(database)
        device = Device(user)
        with capture_logs() as records:
            async with device.connected(instance):
                assert await device.wait_for_close_code() == CloseCode.TRY_LATER
        assert _severity_of("socket_rejected", records) == ("error", True)


async def _rename_feed_head_table(database: str) -> None:
    await execute(database, "ALTER TABLE feed_head RENAME TO feed_head_renamed")


def _severity_of(event: str, records: Sequence[Mapping[str, Any]]) -> tuple[str, object]:
    """Return the level of the only record of an event, and whether it has a stack trace."""
    [record] = [record for record in records if record["event"] == event]
    return record["log_level"], record["exc_info"]
