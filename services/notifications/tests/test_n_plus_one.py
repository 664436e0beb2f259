"""Lists execute the same number of statements for any number of rows."""

from functools import partial
from uuid import uuid4

from services.notifications.tests.factories import Cluster, Instance, order_event

from testkit.queries import Queries, list_paths
from testkit.waiting import eventually

COVERED_LISTS = {"/notifications", "/notifications/summary", "/notifications/for-subject/{subject}"}


async def test_lists_execute_no_more_statements_when_there_are_more_rows(
    cluster: Cluster, instance: Instance, queries: Queries
) -> None:
    assert list_paths(instance.app.openapi()) == COVERED_LISTS
    user_with_few, user_with_many, order_id = uuid4(), uuid4(), uuid4()
    changes = ("placed", "packed", "shipped", "cancelled") * 3
    await cluster.append_events(
        order_event("placed", user_with_few, order_id=order_id),
        *(order_event(change, user_with_many, order_id=order_id) for change in changes),
    )
    async with instance.client(user_with_few) as small_client, instance.client(user_with_many) as large_client:

        async def all_are_added() -> bool:
            return bool((await large_client.get("/notifications")).json()["head"] == len(changes))

        await eventually(all_are_added)
        for path in sorted(COVERED_LISTS):
            url = path.format(subject=order_id)
            await queries.assert_constant(few=partial(small_client.get, url), many=partial(large_client.get, url))
