"""Each device receives 1..head in order, without gaps and repeats, also after failures."""

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from services.notifications.tests.clients import Device
from services.notifications.tests.factories import Cluster, Instance, open_cluster, order_event
from structlog.testing import capture_logs

from notifications.errors import CloseCode
from testkit.databases import migrate
from testkit.servers import PostgresServer, StartPostgres, StartValkey, ValkeyServer
from testkit.tokens import TokenIssuer
from testkit.waiting import eventually


def seeded_random() -> random.Random:
    """Return a random generator. Its seed is printed, and pytest shows it if the test fails."""
    seed = random.randrange(2**32)  # noqa: S311
    print(f"{seed=}")  # noqa: T201
    return random.Random(seed)  # noqa: S311


class TestHandover:
    async def test_devices_receive_each_notification_once_when_they_reconnect(
        self, cluster: Cluster, user: UUID
    ) -> None:
        instances = [await cluster.start_instance(), await cluster.start_instance()]
        devices = [Device(user) for _ in range(4)]
        before, during = 20, 150
        await cluster.add_notifications(user, count=before)

        async def reconnect_repeatedly(device: Device, instance: Instance) -> None:
            for _ in range(4):
                async with device.connected(instance):
                    await device.wait_for_next(timeout_s=2)  # the feed may have stopped growing
                    device.abort()

        growing = asyncio.create_task(cluster.add_notifications(user, count=during))
        await asyncio.gather(
            *(reconnect_repeatedly(device, instance) for device, instance in zip(devices, instances * 2, strict=True))
        )
        await growing
        for device in devices:
            async with device.connected(instances[0]):
                await device.wait_until_received(before + during)
            assert device.received == list(range(1, before + during + 1))

    async def test_catch_up_reads_postgres_when_the_cache_has_gaps(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        for published in (True, False, True, True, False):
            await cluster.add_notifications(user, published=published)
        device = Device(user)
        async with device.connected(instance):
            await device.wait_until_received(5)
        assert device.received == [1, 2, 3, 4, 5]


class TestLostPublish:
    async def test_lost_publish_is_recovered_by_the_next_heartbeat(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        device = Device(user)
        async with device.connected(instance):
            await cluster.add_notifications(user, published=False)
            pings = len(device.frames_of("ping"))
            await device.wait_until_received(1)
            assert len(device.frames_of("ping")) - pings <= 2  # the head of the first may be older than the commit

    async def test_lost_publish_is_recovered_by_the_next_publish(self, cluster: Cluster, user: UUID) -> None:
        instance = await cluster.start_instance(ws_ping_seconds=60)
        device = Device(user)
        async with device.connected(instance):
            await cluster.add_notifications(user, published=False)
            await cluster.add_notifications(user)
            await device.wait_until_received(2)
        assert device.frames_of("ping") == []

    async def test_lost_publish_is_recovered_without_a_ping_when_the_subscription_was_renewed(
        self, cluster: Cluster, user: UUID
    ) -> None:
        instance = await cluster.start_instance(ws_ping_seconds=60)
        device = Device(user)
        async with device.connected(instance):
            sessions = instance.app.state.realtime.hub.users[user]
            await cluster.kill_subscribers()
            await cluster.add_notifications(user, published=False)
            await eventually(lambda: sessions.subscribed)
            await device.wait_until_received(1)
            await cluster.add_notifications(user)
            await device.wait_until_received(2)
        assert device.frames_of("ping") == []

    async def test_invalid_messages_are_logged_and_the_subscription_continues(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        device = Device(user)
        async with device.connected(instance):
            channel = f"notifications:user:{user}"
            invalid_messages = ("", "{", '{"t":"n"}', '{"t":"n","seq":99,"id":"x"}')
            with capture_logs() as logs:
                for message in invalid_messages:
                    await cluster.redis.publish(channel, message)
                await cluster.add_notifications(user)
                await device.wait_until_received(1)
        assert [(record["event"], record.get("channel")) for record in logs if record["log_level"] != "info"] == [
            ("published_frame_unreadable", channel)
        ] * len(invalid_messages)


class TestRedis:
    @pytest.fixture
    def valkey(self, start_valkey: StartValkey) -> ValkeyServer:
        return start_valkey()

    @pytest.fixture
    async def cluster(self, database: str, valkey: ValkeyServer, token_issuer: TokenIssuer) -> AsyncIterator[Cluster]:
        async with open_cluster(database_url=database, redis_url=valkey.url, issuer=token_issuer) as cluster:
            yield cluster

    async def test_nothing_is_lost_when_redis_is_flushed(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        old, new = Device(user), Device(user)
        await cluster.add_notifications(user, count=3)
        async with old.connected(instance):
            await cluster.redis.flushall()
            await cluster.add_notifications(user, count=2)
            await old.wait_until_received(5)
            async with new.connected(instance):
                await new.wait_until_received(5)

    async def test_nothing_is_lost_and_errors_are_logged_when_the_cache_key_has_another_type(
        self, cluster: Cluster, instance: Instance, user: UUID
    ) -> None:
        await cluster.redis.set(f"notifications:feed:{user}", "no stream")
        device = Device(user)
        with capture_logs() as logs:
            await cluster.add_notifications(user, count=3)
            async with device.connected(instance):
                await device.wait_until_received(3)
        failures = [record for record in logs if record["event"] in {"publish_failed", "feed_cache_missed"}]
        assert {(record["event"], record["log_level"], record["exc_info"]) for record in failures} == {
            ("publish_failed", "error", True),
            ("feed_cache_missed", "error", True),
        }

    async def test_nothing_is_logged_when_a_notification_is_published_after_a_later_one(
        self, cluster: Cluster, user: UUID
    ) -> None:
        await cluster.redis.xadd(f"notifications:feed:{user}", {"frame": "{}"}, id="2-0")
        with capture_logs() as logs:
            await cluster.add_notifications(user)
        assert [record["event"] for record in logs] == []

    async def test_nothing_is_lost_when_redis_is_killed_and_empty_afterwards(
        self, cluster: Cluster, instance: Instance, user: UUID, valkey: ValkeyServer
    ) -> None:
        device = Device(user)
        await cluster.add_notifications(user, count=3)
        async with device.connected(instance):
            await device.wait_until_received(3)
            valkey.kill()
            await cluster.add_notifications(user, count=2)  # publishing fails after the commit
            await device.wait_until_received(5)  # read from PostgreSQL after a heartbeat
            valkey.start()
            await eventually(lambda: instance.app.state.realtime.hub.users[user].subscribed)
            await cluster.append_events(order_event("placed", user))
            await device.wait_until_received(6)
            assert device.close_code is None

    async def test_new_sockets_are_closed_with_try_later_when_redis_is_unavailable(
        self, cluster: Cluster, instance: Instance, user: UUID, valkey: ValkeyServer
    ) -> None:
        device = Device(user)
        ticket = await instance.issue_ticket(user)
        valkey.kill()
        async with device.connected(instance, ticket=ticket):
            assert await device.wait_for_close_code() == CloseCode.TRY_LATER


class TestPostgres:
    @pytest.fixture
    def postgres(self, start_postgres: StartPostgres, pytestconfig: pytest.Config) -> PostgresServer:
        server = start_postgres()
        migrate(pytestconfig.rootpath / "services/notifications/alembic.ini", server.url)
        return server

    @pytest.fixture
    async def cluster(
        self, postgres: PostgresServer, redis_url: str, token_issuer: TokenIssuer
    ) -> AsyncIterator[Cluster]:
        async with open_cluster(database_url=postgres.url, redis_url=redis_url, issuer=token_issuer) as cluster:
            yield cluster

    async def test_sockets_stay_open_and_recover_when_postgres_is_stopped(
        self, cluster: Cluster, instance: Instance, user: UUID, postgres: PostgresServer
    ) -> None:
        device = Device(user)
        async with device.connected(instance):
            await cluster.add_notifications(user)
            await device.wait_until_received(1)
            postgres.immediate_stop()
            pings = len(device.frames_of("ping"))
            await device.send({"t": "read", "up_to": 1})
            # not delivered, because notification 2 is missing
            await cluster.redis.publish(f"notifications:user:{user}", _notification_body(seq=3))
            await eventually(lambda: len(device.frames_of("ping")) > pings + 1)
            postgres.start()
            await cluster.add_notifications(user, count=2, published=False)
            await device.wait_until_received(3)
            assert device.close_code is None


class TestCombinedFaults:
    async def test_devices_receive_every_notification_in_order_when_publishes_are_lost_and_connections_abort(
        self, cluster: Cluster, user: UUID
    ) -> None:
        rng = seeded_random()
        instances = [await cluster.start_instance(), await cluster.start_instance()]
        devices = [Device(user) for _ in range(3)]
        total = 120

        async def keep_reconnecting(device: Device) -> None:
            while device.cursor < total:
                async with device.connected(rng.choice(instances)):
                    await device.wait_for_next(timeout_s=rng.uniform(0.1, 1.0))
                    device.abort()

        async def add_notifications() -> None:
            for _ in range(total):
                await cluster.add_notifications(user, published=rng.random() < 0.8)
                if rng.random() < 0.05:
                    await cluster.kill_subscribers()

        async with asyncio.timeout(120):
            await asyncio.gather(add_notifications(), *(keep_reconnecting(device) for device in devices))
        for device in devices:
            async with device.connected(rng.choice(instances)):
                await device.wait_until_received(total)
            assert device.received == list(range(1, total + 1))


def _notification_body(*, seq: int) -> str:
    """Return the message that publishes a notification."""
    return (
        f'{{"t":"n","seq":{seq},"id":"00000000-0000-0000-0000-000000000000",'
        f'"kind":"announcement","data":{{}},"at":"2026-11-23T00:00:00Z"}}'
    )
