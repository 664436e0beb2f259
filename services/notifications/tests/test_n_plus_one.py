"""No list costs more statements for more rows."""

from functools import partial
from uuid import uuid4

from services.notifications.tests.factories import Instance, Stage, order_event

from testkit.queries import Queries, lists_of
from testkit.waiting import eventually

GUARDED = {"/notifications", "/notifications/summary", "/notifications/for-subject/{subject}"}


async def test_the_feed(stage: Stage, instance: Instance, queries: Queries) -> None:
    assert lists_of(instance.app.openapi()) == GUARDED
    few, many, order = uuid4(), uuid4(), uuid4()
    changes = ("placed", "packed", "shipped", "cancelled") * 3
    await stage.happen(
        order_event("placed", few, order_id=order), *(order_event(change, many, order_id=order) for change in changes)
    )
    async with instance.client(few) as one, instance.client(many) as another:

        async def arrived() -> bool:
            return bool((await another.get("/notifications")).json()["head"] == len(changes))

        await eventually(arrived)
        for path in sorted(GUARDED):
            asked = path.format(subject=order)
            await queries.stay_flat(few=partial(one.get, asked), many=partial(another.get, asked))
