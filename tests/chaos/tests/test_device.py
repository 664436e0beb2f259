"""A device records all notifications in the order of their arrival, also repeats, which its client drops."""

import asyncio
import json
import random
from typing import Any

from websockets.asyncio.server import ServerConnection

from chaos.device import ResumingDevice
from chaos.history import DeviceLog, History
from chaos.invariants.devices import every_device_received_all
from chaos.snapshot import Notification, Snapshot
from hopline_client.rest import open_client
from testkit.apps import serve
from testkit.fake_gateway import Connection, Gateway, Sockets
from testkit.waiting import eventually

ADA = "ada"


def notification(seq: int) -> dict[str, Any]:
    content = {"seq": seq, "id": f"event-{seq}", "kind": "order.placed", "data": {"order_id": "order-1"}}
    return {"t": "n", **content, "at": "2026-01-01T00:00:00Z", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


def build_script(*seqs: int, head: int) -> Connection:
    """Return a script that sends these notifications, and closes the connection unless the last one is the head."""

    async def script(socket: ServerConnection) -> None:
        welcome = {"t": "welcome", "head": head, "read_seq": 0, "recovered": True, "ping_s": 15}
        for frame in (welcome, *map(notification, seqs)):
            await socket.send(json.dumps(frame))
        if seqs[-1] < head:
            await socket.close(1011)
        await socket.wait_closed()

    return script


async def record_and_check(*connections: tuple[int, ...]) -> tuple[list[int], list[str]]:
    """Send these seqs to a device, one tuple per connection.

    Returns the seqs that the device recorded, and the violations of the invariant.
    """
    gateway, head = Gateway(), connections[-1][-1]
    sockets = Sockets(gateway)
    for number in range(1, head + 1):
        sockets.history.append({**notification(number), "created_at": ""})
    log = DeviceLog(name="device", user_id=ADA)
    async with sockets.listening(), serve(gateway) as url, open_client(url) as client:
        sockets.scripts.extend(build_script(*seqs, head=head) for seqs in connections)
        watching = asyncio.create_task(ResumingDevice(shopper=client, log=log, rng=random.Random(1)).watch())  # noqa: S311 - no secret
        await eventually(lambda: {frame.seq for frame in log.frames} == set(range(1, head + 1)))
        watching.cancel()
        await asyncio.wait([watching])
    rows = tuple(Notification(user_id=ADA, seq=seq, event_id=f"event-{seq}") for seq in range(1, head + 1))
    snapshot = Snapshot(notifications=rows, heads={ADA: head})
    return [frame.seq for frame in log.frames], list(every_device_received_all(History(devices=[log]), snapshot))


class TestDevice:
    async def test_device_continues_after_its_last_notification_when_it_reconnects(self) -> None:
        assert await record_and_check((1, 2), (3, 4)) == ([1, 2, 3, 4], [])

    async def test_gap_is_recorded_although_the_client_fills_it_from_the_history(self) -> None:
        assert await record_and_check((1, 3)) == (
            [1, 3, 2],
            ["device: a gap: 3 after 1", "device: a repeated or late frame: 2 after 3"],
        )

    async def test_repeat_is_recorded_although_the_client_drops_it(self) -> None:
        assert await record_and_check((1, 2), (2, 3)) == ([1, 2, 2, 3], ["device: a repeated or late frame: 2 after 2"])
