"""A violation is found by its invariant and by no other, and a consistent shop has no violations."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.chaos.tests.shop import ADA, history, mail, operation, snapshot, with_stream

from chaos.checker import check, holds, pending_work
from chaos.guarantees import (
    never_500,
    no_attempt_fails,
    reads_succeed,
    reads_succeed_at_first_attempt,
    retry_after_is_set,
)
from chaos.history import Action, History, Outcome
from chaos.snapshot import Group, Key, Order, Snapshot

Mutation = Callable[[History, Snapshot], Snapshot]


def lost_order(_record: History, stores: Snapshot) -> Snapshot:
    return replace(stores, orders=stores.orders[:1], keys=stores.keys[:1], products=stores.products)


def rejected_order_that_is_there(record: History, stores: Snapshot) -> Snapshot:
    order = Order(id="order-3", user_id=ADA, status="cancelled", items=())
    record.operations.append(operation(Action.CANCEL, "order-3"))
    return replace(
        stores, orders=(*stores.orders, order), keys=(*stores.keys, Key(user_id=ADA, key="key-3", order_id="order-3"))
    )


def lost_cancellation(record: History, stores: Snapshot) -> Snapshot:
    record.operations.append(operation(Action.CANCEL, "order-1"))
    return stores


def unrequested_cancellation(record: History, stores: Snapshot) -> Snapshot:
    record.operations[3] = replace(record.operations[3], outcome=Outcome.FAILED)
    return stores


def lost_account(record: History, stores: Snapshot) -> Snapshot:
    record.operations.append(operation(Action.REGISTER, "guest@example.com", user_id="guest"))
    return stores


def indeterminate_order_twice(_record: History, stores: Snapshot) -> Snapshot:
    order = Order(id="order-4", user_id=ADA, status="cancelled", items=())
    key = Key(user_id=ADA, key="key-4", order_id="order-4")
    return replace(stores, orders=(*stores.orders, order, replace(order, id="order-5")), keys=(*stores.keys, key))


def key_with_two_different_responses(record: History, stores: Snapshot) -> Snapshot:
    record.operations[2] = replace(record.operations[2], responses=("order-2", "order-9"))
    return stores


def gap_in_an_outbox(_record: History, stores: Snapshot) -> Snapshot:
    outbox = stores.streams[1].outbox
    return with_stream(stores, outbox=(*outbox[:-1], replace(outbox[-1], seq=6)))


def gap_in_a_stream(_record: History, stores: Snapshot) -> Snapshot:
    entries = stores.streams[1].entries
    return with_stream(stores, entries=(entries[0], *entries[2:]))


def deleted_last_entry(_record: History, stores: Snapshot) -> Snapshot:
    return with_stream(stores, entries=stores.streams[1].entries[:-1])


def swapped_entries(_record: History, stores: Snapshot) -> Snapshot:
    (first_id, first), (second_id, second), *rest = stores.streams[1].entries
    return with_stream(stores, entries=((first_id, second), (second_id, first), *rest))


def event_that_was_never_appended(_record: History, stores: Snapshot) -> Snapshot:
    return with_stream(stores, entries=stores.streams[1].entries[:-1], last=4)


def event_without_a_number(_record: History, stores: Snapshot) -> Snapshot:
    outbox = stores.streams[1].outbox
    return with_stream(stores, outbox=(*outbox, replace(outbox[1], id="packed-9", seq=None)))


def lost_notification(record: History, stores: Snapshot) -> Snapshot:
    record.devices[0].frames.pop()
    return replace(stores, notifications=stores.notifications[:-1], heads={ADA: 5})


def notification_twice(record: History, stores: Snapshot) -> Snapshot:
    [device] = record.devices
    device.frames.append(replace(device.frames[-1], seq=7))
    again = replace(stores.notifications[-1], seq=7)
    return replace(stores, notifications=(*stores.notifications, again), heads={ADA: 7})


def lost_email(_record: History, stores: Snapshot) -> Snapshot:
    return replace(stores, mailbox=stores.mailbox[1:])


def unrecorded_email(_record: History, stores: Snapshot) -> Snapshot:
    return replace(stores, emails=stores.emails[1:], mailbox=stores.mailbox[1:])


def email_twice(_record: History, stores: Snapshot) -> Snapshot:
    return replace(stores, mailbox=(*stores.mailbox, stores.mailbox[0]))


def second_email_that_differs(_record: History, stores: Snapshot) -> Snapshot:
    again = replace(stores.mailbox[0], size=1)
    jobs = tuple(replace(job, attempt=2) for job in stores.jobs)
    return replace(stores, mailbox=(*stores.mailbox, again), jobs=jobs)


def email_without_an_event(_record: History, stores: Snapshot) -> Snapshot:
    return replace(stores, mailbox=(*stores.mailbox, mail("spam")))


def gap_on_a_device(record: History, stores: Snapshot) -> Snapshot:
    del record.devices[0].frames[2]
    return stores


def repeat_on_a_device(record: History, stores: Snapshot) -> Snapshot:
    frames = record.devices[0].frames
    frames.insert(3, frames[2])
    return stores


def device_that_is_behind(record: History, stores: Snapshot) -> Snapshot:
    record.devices[0].frames.pop()
    return stores


def frame_of_another_feed(record: History, stores: Snapshot) -> Snapshot:
    frames = record.devices[0].frames
    frames[1] = replace(frames[1], id="somebody-else")
    return stores


def dead_letter(_record: History, stores: Snapshot) -> Snapshot:
    return replace(stores, dead_letters=("workers: no such user",))


def stuck_job(_record: History, stores: Snapshot) -> Snapshot:
    return replace(stores, jobs=(*stores.jobs[1:], replace(stores.jobs[0], state="dead")))


def stuck_order(_record: History, stores: Snapshot) -> Snapshot:
    [mug, cap] = stores.products
    products = (replace(mug, stock=10, reserved=2, shipped=0), replace(cap, stock=5, reserved=1, shipped=0))
    return replace(stores, orders=(replace(stores.orders[0], status="placed"), stores.orders[1]), products=products)


def stock_that_was_not_returned(_record: History, stores: Snapshot) -> Snapshot:
    [mug, cap] = stores.products
    return replace(stores, products=(replace(mug, reserved=1), cap))


def stock_returned_twice(_record: History, stores: Snapshot) -> Snapshot:
    [mug, cap] = stores.products
    return replace(stores, products=(replace(mug, stock=9), cap))


def sold_twice(_record: History, stores: Snapshot) -> Snapshot:
    [mug, cap] = stores.products
    return replace(stores, products=(mug, replace(cap, shipped=2, arrived=6)))


def frame_with_another_trace(record: History, stores: Snapshot) -> Snapshot:
    frames = record.devices[0].frames
    frames[5] = replace(frames[5], trace_id="t-2")
    return stores


MUTATIONS: dict[str, list[Mutation]] = {
    "I1": [lost_account, lost_cancellation, unrequested_cancellation, rejected_order_that_is_there],
    "I2": [key_with_two_different_responses],
    "I3": [gap_in_a_stream, deleted_last_entry, swapped_entries, event_that_was_never_appended],
    "I4": [lost_notification, notification_twice],
    "I5": [lost_email, unrecorded_email, email_twice, second_email_that_differs, email_without_an_event],
    "I6": [gap_on_a_device, repeat_on_a_device, device_that_is_behind, frame_of_another_feed],
    "I7": [dead_letter, stuck_job, stuck_order],
    "I8": [stock_that_was_not_returned, stock_returned_twice, sold_twice],
    "I9": [frame_with_another_trace],
}
CASES = [
    pytest.param(name, mutate, id=f"{name}-{mutate.__name__}")
    for name, mutations in MUTATIONS.items()
    for mutate in mutations
]


def broken(record: History, stores: Snapshot) -> set[str]:
    return {name for name, found in check(record, stores).items() if found}


class TestInvariants:
    def test_invariants_hold_for_a_consistent_shop(self) -> None:
        assert holds(check(history(), snapshot(), guarantees=[never_500, reads_succeed]))
        assert pending_work(history(), snapshot()) == []

    @pytest.mark.parametrize(("invariant", "mutate"), CASES)
    def test_violation_of_one_invariant_is_found(self, invariant: str, mutate: Mutation) -> None:
        record = history()
        assert broken(record, mutate(record, snapshot())) == {invariant}

    @pytest.mark.parametrize(
        ("mutate", "invariants"),
        [
            (lost_order, {"I1", "I2", "I9"}),
            (indeterminate_order_twice, {"I1", "I2"}),
            (gap_in_an_outbox, {"I3"}),
            (event_without_a_number, {"I3", "I4"}),
        ],
    )
    def test_violations_of_several_invariants_are_found(self, mutate: Mutation, invariants: set[str]) -> None:
        record = history()
        assert broken(record, mutate(record, snapshot())) == invariants

    def test_invariants_hold_when_an_indeterminate_order_exists_once(self) -> None:
        record, stores = history(), snapshot()
        record.operations.append(operation(Action.CANCEL, "order-4"))
        order = Order(id="order-4", user_id=ADA, status="cancelled", items=())
        key = Key(user_id=ADA, key="key-4", order_id="order-4")
        assert broken(record, replace(stores, orders=(*stores.orders, order), keys=(*stores.keys, key))) == set()


class TestGuarantees:
    def test_never_500_is_violated_by_a_500(self) -> None:
        assert list(never_500(History([operation(Action.LOOK, "/v2/orders", statuses=(500, 200))])))

    def test_reads_succeed_is_violated_when_a_read_has_no_response(self) -> None:
        look = operation(Action.LOOK, "/v2/orders", outcome=Outcome.INDETERMINATE, statuses=(503, 0))
        place = replace(look, action=Action.PLACE)
        assert len(list(reads_succeed(History([look, place])))) == 1

    @pytest.mark.parametrize("statuses", [(0, 201), (503, 201)])
    def test_no_attempt_fails_is_violated_by_a_failed_attempt(self, statuses: tuple[int, ...]) -> None:
        assert list(no_attempt_fails(History([operation(Action.PLACE, "key", statuses=statuses)])))
        assert not list(no_attempt_fails(History([operation(Action.CANCEL, "order", statuses=(409,))])))

    def test_retry_after_is_set_is_violated_when_the_header_is_missing(self) -> None:
        silent = operation(Action.PLACE, "key", statuses=(503, 429, 201), without_retry_after=(503, 429))
        assert len(list(retry_after_is_set(History([silent])))) == 2
        assert not list(retry_after_is_set(history()))

    def test_reads_succeed_at_first_attempt_is_violated_by_a_retry(self) -> None:
        repeated = operation(Action.LOOK, "/v2/products", statuses=(503, 200))
        assert list(reads_succeed_at_first_attempt(History([repeated])))
        others = [replace(repeated, statuses=(200,)), replace(repeated, action=Action.PLACE)]
        assert not list(reads_succeed_at_first_attempt(History(others)))


class TestPendingWork:
    def test_pending_work_lists_work_in_progress(self) -> None:
        record, stores = history(), snapshot()
        assert pending_work(record, stuck_order(record, stores)) == ["order order-1 is placed"]
        running = replace(stores, jobs=(replace(stores.jobs[0], state="running"),))
        assert pending_work(record, running) == [f"job {stores.jobs[0].key} is running"]
        assert pending_work(record, with_stream(stores, last=4)) == ["events:orders is at 4"]
        record.devices[0].frames.pop()
        assert pending_work(record, stores) == ["phone is at 5"]

    def test_pending_work_lists_missing_and_late_consumer_groups(self) -> None:
        stores = snapshot()
        late = Group(name="notifications", delivered=4, pending=1)
        assert pending_work(history(), with_stream(stores, groups=(late,))) == [
            "events:orders is read by ['notifications'] only",
            "notifications is at 4 of events:orders, 1 pending",
        ]
