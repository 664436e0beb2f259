"""The first frame of a WebSocket: it is welcomed, or the server closes the socket."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from services.notifications.tests.clients import Device, hello_frame, raw_socket, send_frame, wait_for_close_code
from services.notifications.tests.factories import PING_S, WEBSOCKET_OPTIONS, Cluster, Instance
from websockets.frames import CloseCode as StandardCloseCode

from notifications.errors import CloseCode
from notifications.realtime.delivery_cursor import WINDOW
from notifications.realtime.tickets import LIFETIME_S
from testkit.metrics import RecordedMetrics
from testkit.waiting import eventually


class TestHello:
    async def test_welcome_is_followed_by_the_missed_notifications(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user, count=3)
        device = Device(user)
        device.cursor = 1
        async with device.connected(instance):
            await device.wait_until_received(3)
        assert device.frames[0] == {"t": "welcome", "head": 3, "read_seq": 0, "recovered": True, "ping_s": PING_S}
        assert device.received == [2, 3]

    async def test_welcome_is_not_recovered_when_more_than_the_window_was_missed(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user, count=WINDOW + 1, published=False)
        device = Device(user)
        async with device.connected(instance):
            assert device.frames_of("welcome")[0]["recovered"] is False
            await cluster.add_notifications(user)
            await device.wait_until_received(WINDOW + 2)
        assert device.received == [WINDOW + 2]

    async def test_welcome_is_recovered_when_the_whole_window_was_missed(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.add_notifications(user, count=WINDOW, published=False)
        device = Device(user)
        async with device.connected(instance):
            await device.wait_until_received(WINDOW)
        assert device.frames_of("welcome")[0]["recovered"] is True

    async def test_socket_is_closed_when_hello_is_late(self, cluster: Cluster) -> None:
        instance = await cluster.start_instance(ws_hello_seconds=0.1)
        async with raw_socket(instance) as socket:
            assert await wait_for_close_code(socket) == CloseCode.UNAUTHORIZED

    async def test_socket_is_closed_when_too_many_sockets_have_not_sent_a_hello(
        self, cluster: Cluster, user: UUID
    ) -> None:
        instance = await cluster.start_instance(ws_silent_connections=1, ws_hello_seconds=60)
        hello = hello_frame(await instance.issue_ticket(user))
        async with raw_socket(instance) as silent:
            async with raw_socket(instance) as one_too_many:
                assert await wait_for_close_code(one_too_many) == CloseCode.TRY_LATER
            await send_frame(silent, hello)
            await silent.recv()
            async with raw_socket(instance) as next_silent, raw_socket(instance) as one_too_many:
                assert await wait_for_close_code(one_too_many) == CloseCode.TRY_LATER
                await next_silent.close()

    async def test_socket_is_closed_when_too_many_of_its_address_have_not_sent_a_hello(
        self, cluster: Cluster, user: UUID
    ) -> None:
        instance = await cluster.start_instance(ws_silent_connections_per_address=1, ws_hello_seconds=60)
        async with raw_socket(instance):
            async with raw_socket(instance) as one_too_many:
                assert await wait_for_close_code(one_too_many) == CloseCode.TRY_LATER
            async with raw_socket(instance, local_addr=("127.0.0.2", 0)) as other_address:
                await send_frame(other_address, hello_frame(await instance.issue_ticket(user)))
                assert '"welcome"' in await other_address.recv(decode=True)

    async def test_socket_is_closed_when_the_ticket_was_used_before(self, instance: Instance, user: UUID) -> None:
        hello = hello_frame(await instance.issue_ticket(user))
        async with raw_socket(instance) as first, raw_socket(instance) as second:
            await send_frame(first, hello)
            await first.recv()
            await send_frame(second, hello)
            assert await wait_for_close_code(second) == CloseCode.UNAUTHORIZED

    async def test_socket_is_closed_when_the_ticket_has_expired(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        ticket = await instance.issue_ticket(user)
        (key,) = await cluster.redis.keys("notifications:ticket:*")
        assert 0 < await cluster.redis.ttl(key) <= LIFETIME_S
        await cluster.redis.pexpire(key, 1)

        async def has_expired() -> bool:
            return not await cluster.redis.exists(key)

        await eventually(has_expired)
        async with raw_socket(instance) as socket:
            await send_frame(socket, hello_frame(ticket))
            assert await wait_for_close_code(socket) == CloseCode.UNAUTHORIZED

    @pytest.mark.parametrize(
        "members",
        [
            {"ticket": "invented"},
            {"ticket": ""},
            {"ticket": None},
            {"v": 2},
            {"cursor": -1},
            {"cursor": "1"},
            {"cursor": 2**63},
            {"t": "pong"},
            {"t": "dance"},
        ],
    )
    async def test_socket_is_closed_when_hello_is_invalid(self, instance: Instance, members: dict[str, Any]) -> None:
        async with raw_socket(instance) as socket:
            await send_frame(socket, hello_frame("x") | members)
            assert await wait_for_close_code(socket) == CloseCode.UNAUTHORIZED

    @pytest.mark.parametrize("message", ["", "{", "[]", "null", "\u0000", b"{}"])
    async def test_socket_is_closed_when_the_first_message_is_not_json(
        self, instance: Instance, message: str | bytes
    ) -> None:
        async with raw_socket(instance) as socket:
            await socket.send(message)
            assert await wait_for_close_code(socket) == CloseCode.UNAUTHORIZED

    async def test_socket_is_closed_when_the_first_frame_is_too_large(self, instance: Instance) -> None:
        async with raw_socket(instance) as socket:
            await send_frame(socket, hello_frame("x" * WEBSOCKET_OPTIONS["ws_max_size"]))
            assert await wait_for_close_code(socket) == StandardCloseCode.MESSAGE_TOO_BIG

    async def test_socket_is_closed_when_the_user_has_too_many_sockets(
        self, cluster: Cluster, user: UUID, metrics: RecordedMetrics
    ) -> None:
        instance = await cluster.start_instance(ws_connections_per_user=1)
        first, second, other = Device(user), Device(user), Device(uuid4())
        async with first.connected(instance):
            async with second.connected(instance):
                assert await second.wait_for_close_code() == CloseCode.TOO_MANY_CONNECTIONS
            assert (
                metrics.value(
                    "hopline.websocket.closed", {"hopline.websocket.close_code": int(CloseCode.TOO_MANY_CONNECTIONS)}
                )
                == 1
            )
            async with other.connected(instance):
                assert other.frames_of("welcome")
        await eventually(lambda: not instance.app.state.realtime.hub.users)
        async with second.connected(instance):
            assert second.frames_of("welcome")

    async def test_socket_is_closed_when_the_process_has_too_many_sockets(self, cluster: Cluster, user: UUID) -> None:
        instance = await cluster.start_instance(ws_connections=1)
        other = Device(uuid4())
        async with Device(user).connected(instance), other.connected(instance):
            assert await other.wait_for_close_code() == CloseCode.TOO_MANY_CONNECTIONS
