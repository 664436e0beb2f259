"""Statements that PostgreSQL rejects are logged as errors with their stack trace, and sockets close or continue."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from services.notifications.tests.clients import Device
from services.notifications.tests.factories import Cluster, Instance
from structlog.testing import capture_logs

from notifications.errors import CloseCode
from testkit.waiting import eventually


class TestMissingTable:
    async def test_error_is_logged_with_its_stack_when_a_read_mark_is_rejected(
        self, cluster: Cluster, instance: Instance, user: UUID, database: str
    ) -> None:
        await cluster.add_notifications(user)
        device = Device(user)
        async with device.connected(instance):
            await _rename_heads(database)
            with capture_logs() as records:
                await device.send({"t": "read", "up_to": 1})
                await eventually(lambda: "read_not_marked" in {record["event"] for record in records})
        assert _level_of("read_not_marked", records) == ("error", True)

    async def test_error_is_logged_with_its_stack_when_a_welcome_is_rejected(
        self, instance: Instance, user: UUID, database: str
    ) -> None:
        await _rename_heads(database)
        device = Device(user)
        with capture_logs() as records:
            async with device.connected(instance):
                await eventually(lambda: device.close_code)
        assert device.close_code == CloseCode.TRY_LATER
        assert _level_of("socket_refused", records) == ("error", True)


async def _rename_heads(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("ALTER TABLE feed_head RENAME TO feed_head_renamed")
    finally:
        await connection.close()


def _level_of(event: str, records: Sequence[Mapping[str, Any]]) -> tuple[str, object]:
    [record] = [record for record in records if record["event"] == event]
    return record["log_level"], record["exc_info"]
