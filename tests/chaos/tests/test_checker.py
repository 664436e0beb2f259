"""Each violation is found by its invariant and by no other invariant. A consistent shop has no violations."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.chaos.tests.factories import ADA, create_history, create_mail, create_operation, create_snapshot, with_stream

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


def lose_order(_history: History, snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, orders=snapshot.orders[:1], keys=snapshot.keys[:1])


def store_a_rejected_order(history: History, snapshot: Snapshot) -> Snapshot:
    order = Order(id="order-3", user_id=ADA, status="cancelled", items=())
    history.operations.append(create_operation(Action.CANCEL, "order-3"))
    return replace(
        snapshot,
        orders=(*snapshot.orders, order),
        keys=(*snapshot.keys, Key(user_id=ADA, key="key-3", order_id="order-3")),
    )


def lose_cancellation(history: History, snapshot: Snapshot) -> Snapshot:
    history.operations.append(create_operation(Action.CANCEL, "order-1"))
    return snapshot


def cancel_without_a_request(history: History, snapshot: Snapshot) -> Snapshot:
    history.operations[3] = replace(history.operations[3], outcome=Outcome.FAILED)
    return snapshot


def lose_account(history: History, snapshot: Snapshot) -> Snapshot:
    history.operations.append(create_operation(Action.REGISTER, "guest@example.com", user_id="guest"))
    return snapshot


def store_an_indeterminate_order_twice(_history: History, snapshot: Snapshot) -> Snapshot:
    order = Order(id="order-4", user_id=ADA, status="cancelled", items=())
    key = Key(user_id=ADA, key="key-4", order_id="order-4")
    return replace(snapshot, orders=(*snapshot.orders, order, replace(order, id="order-5")), keys=(*snapshot.keys, key))


def return_two_orders_for_a_key(history: History, snapshot: Snapshot) -> Snapshot:
    history.operations[2] = replace(history.operations[2], responses=("order-2", "order-9"))
    return snapshot


def skip_a_number_in_an_outbox(_history: History, snapshot: Snapshot) -> Snapshot:
    outbox = snapshot.streams[1].outbox
    return with_stream(snapshot, outbox=(*outbox[:-1], replace(outbox[-1], seq=6)))


def remove_an_entry(_history: History, snapshot: Snapshot) -> Snapshot:
    entries = snapshot.streams[1].entries
    return with_stream(snapshot, entries=(entries[0], *entries[2:]))


def remove_the_last_entry(_history: History, snapshot: Snapshot) -> Snapshot:
    return with_stream(snapshot, entries=snapshot.streams[1].entries[:-1])


def swap_entries(_history: History, snapshot: Snapshot) -> Snapshot:
    (first_id, first), (second_id, second), *rest = snapshot.streams[1].entries
    return with_stream(snapshot, entries=((first_id, second), (second_id, first), *rest))


def append_no_entry_for_an_event(_history: History, snapshot: Snapshot) -> Snapshot:
    return with_stream(snapshot, entries=snapshot.streams[1].entries[:-1], last=4)


def assign_no_number_to_an_event(_history: History, snapshot: Snapshot) -> Snapshot:
    outbox = snapshot.streams[1].outbox
    return with_stream(snapshot, outbox=(*outbox, replace(outbox[1], id="packed-9", seq=None)))


def lose_notification(history: History, snapshot: Snapshot) -> Snapshot:
    history.devices[0].frames.pop()
    return replace(snapshot, notifications=snapshot.notifications[:-1], heads={ADA: 5})


def notify_twice(history: History, snapshot: Snapshot) -> Snapshot:
    [device] = history.devices
    device.frames.append(replace(device.frames[-1], seq=7))
    again = replace(snapshot.notifications[-1], seq=7)
    return replace(snapshot, notifications=(*snapshot.notifications, again), heads={ADA: 7})


def lose_email(_history: History, snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, mailbox=snapshot.mailbox[1:])


def record_no_email(_history: History, snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, emails=snapshot.emails[1:], mailbox=snapshot.mailbox[1:])


def send_email_twice(_history: History, snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, mailbox=(*snapshot.mailbox, snapshot.mailbox[0]))


def send_a_different_email_again(_history: History, snapshot: Snapshot) -> Snapshot:
    again = replace(snapshot.mailbox[0], size=1)
    jobs = tuple(replace(job, attempt=2) for job in snapshot.jobs)
    return replace(snapshot, mailbox=(*snapshot.mailbox, again), jobs=jobs)


def send_email_without_an_event(_history: History, snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, mailbox=(*snapshot.mailbox, create_mail("spam")))


def skip_a_frame(history: History, snapshot: Snapshot) -> Snapshot:
    del history.devices[0].frames[2]
    return snapshot


def repeat_a_frame(history: History, snapshot: Snapshot) -> Snapshot:
    frames = history.devices[0].frames
    frames.insert(3, frames[2])
    return snapshot


def skip_the_last_frame(history: History, snapshot: Snapshot) -> Snapshot:
    history.devices[0].frames.pop()
    return snapshot


def send_a_frame_of_another_feed(history: History, snapshot: Snapshot) -> Snapshot:
    frames = history.devices[0].frames
    frames[1] = replace(frames[1], id="somebody-else")
    return snapshot


def add_a_dead_letter(_history: History, snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, dead_letters=("workers: no such user",))


def leave_a_dead_job(_history: History, snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, jobs=(*snapshot.jobs[1:], replace(snapshot.jobs[0], state="dead")))


def leave_an_order_pending(_history: History, snapshot: Snapshot) -> Snapshot:
    [mug, cap] = snapshot.products
    products = (replace(mug, stock=10, reserved=2, shipped=0), replace(cap, stock=5, reserved=1, shipped=0))
    return replace(
        snapshot, orders=(replace(snapshot.orders[0], status="placed"), snapshot.orders[1]), products=products
    )


def return_no_stock(_history: History, snapshot: Snapshot) -> Snapshot:
    [mug, cap] = snapshot.products
    return replace(snapshot, products=(replace(mug, reserved=1), cap))


def return_stock_twice(_history: History, snapshot: Snapshot) -> Snapshot:
    [mug, cap] = snapshot.products
    return replace(snapshot, products=(replace(mug, stock=9), cap))


def ship_twice(_history: History, snapshot: Snapshot) -> Snapshot:
    [mug, cap] = snapshot.products
    return replace(snapshot, products=(mug, replace(cap, shipped=2, arrived=6)))


def send_a_frame_of_another_trace(history: History, snapshot: Snapshot) -> Snapshot:
    frames = history.devices[0].frames
    frames[5] = replace(frames[5], trace_id="t-2")
    return snapshot


MUTATIONS: dict[str, list[Mutation]] = {
    "I1": [lose_account, lose_cancellation, cancel_without_a_request, store_a_rejected_order],
    "I2": [return_two_orders_for_a_key],
    "I3": [remove_an_entry, remove_the_last_entry, swap_entries, append_no_entry_for_an_event],
    "I4": [lose_notification, notify_twice],
    "I5": [lose_email, record_no_email, send_email_twice, send_a_different_email_again, send_email_without_an_event],
    "I6": [skip_a_frame, repeat_a_frame, skip_the_last_frame, send_a_frame_of_another_feed],
    "I7": [add_a_dead_letter, leave_a_dead_job, leave_an_order_pending],
    "I8": [return_no_stock, return_stock_twice, ship_twice],
    "I9": [send_a_frame_of_another_trace],
}
CASES = [
    pytest.param(name, mutate, id=f"{name}-{mutate.__name__}")
    for name, mutations in MUTATIONS.items()
    for mutate in mutations
]


def list_violated_invariants(history: History, snapshot: Snapshot) -> set[str]:
    return {name for name, found in check(history, snapshot).items() if found}


class TestInvariants:
    def test_invariants_hold_for_a_consistent_shop(self) -> None:
        assert holds(check(create_history(), create_snapshot(), guarantees=[never_500, reads_succeed]))
        assert pending_work(create_history(), create_snapshot()) == []

    @pytest.mark.parametrize(("invariant", "mutate"), CASES)
    def test_violation_of_one_invariant_is_found(self, invariant: str, mutate: Mutation) -> None:
        history = create_history()
        assert list_violated_invariants(history, mutate(history, create_snapshot())) == {invariant}

    @pytest.mark.parametrize(
        ("mutate", "invariants"),
        [
            (lose_order, {"I1", "I2", "I9"}),
            (store_an_indeterminate_order_twice, {"I1", "I2"}),
            (skip_a_number_in_an_outbox, {"I3"}),
            (assign_no_number_to_an_event, {"I3", "I4"}),
        ],
    )
    def test_violations_of_several_invariants_are_found(self, mutate: Mutation, invariants: set[str]) -> None:
        history = create_history()
        assert list_violated_invariants(history, mutate(history, create_snapshot())) == invariants

    def test_invariants_hold_when_an_indeterminate_order_exists_once(self) -> None:
        history, snapshot = create_history(), create_snapshot()
        history.operations.append(create_operation(Action.CANCEL, "order-4"))
        order = Order(id="order-4", user_id=ADA, status="cancelled", items=())
        key = Key(user_id=ADA, key="key-4", order_id="order-4")
        with_order = replace(snapshot, orders=(*snapshot.orders, order), keys=(*snapshot.keys, key))
        assert list_violated_invariants(history, with_order) == set()


class TestGuarantees:
    def test_never_500_is_violated_by_a_500(self) -> None:
        assert list(never_500(History([create_operation(Action.READ, "/v2/orders", statuses=(500, 200))])))

    def test_reads_succeed_is_violated_when_a_read_has_no_response(self) -> None:
        look = create_operation(Action.READ, "/v2/orders", outcome=Outcome.INDETERMINATE, statuses=(503, 0))
        place = replace(look, action=Action.PLACE)
        assert len(list(reads_succeed(History([look, place])))) == 1

    @pytest.mark.parametrize("statuses", [(0, 201), (503, 201)])
    def test_no_attempt_fails_is_violated_by_a_failed_attempt(self, statuses: tuple[int, ...]) -> None:
        assert list(no_attempt_fails(History([create_operation(Action.PLACE, "key", statuses=statuses)])))
        assert not list(no_attempt_fails(History([create_operation(Action.CANCEL, "order", statuses=(409,))])))

    def test_retry_after_is_set_is_violated_when_the_header_is_missing(self) -> None:
        silent = create_operation(Action.PLACE, "key", statuses=(503, 429, 201), without_retry_after=(503, 429))
        assert len(list(retry_after_is_set(History([silent])))) == 2
        assert not list(retry_after_is_set(create_history()))

    def test_reads_succeed_at_first_attempt_is_violated_by_a_retry(self) -> None:
        repeated = create_operation(Action.READ, "/v2/products", statuses=(503, 200))
        assert list(reads_succeed_at_first_attempt(History([repeated])))
        others = [replace(repeated, statuses=(200,)), replace(repeated, action=Action.PLACE)]
        assert not list(reads_succeed_at_first_attempt(History(others)))


class TestPendingWork:
    def test_pending_work_lists_work_in_progress(self) -> None:
        history, snapshot = create_history(), create_snapshot()
        assert pending_work(history, leave_an_order_pending(history, snapshot)) == ["order order-1 is placed"]
        running = replace(snapshot, jobs=(replace(snapshot.jobs[0], state="running"),))
        assert pending_work(history, running) == [f"job {snapshot.jobs[0].key} is running"]
        assert pending_work(history, with_stream(snapshot, last=4)) == ["events:orders is at 4"]
        history.devices[0].frames.pop()
        assert pending_work(history, snapshot) == ["phone is at 5"]

    def test_pending_work_lists_missing_and_late_consumer_groups(self) -> None:
        snapshot = create_snapshot()
        late = Group(name="notifications", delivered=4, pending=1)
        assert pending_work(create_history(), with_stream(snapshot, groups=(late,))) == [
            "events:orders is read by ['notifications'] only",
            "notifications is at 4 of events:orders, 1 pending",
        ]
