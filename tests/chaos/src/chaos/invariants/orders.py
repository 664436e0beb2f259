"""Invariants of accounts, orders, idempotency keys and stock."""

from collections import Counter
from collections.abc import Iterator

from chaos.history import Action, History, Outcome
from chaos.invariants.sets import find_differences
from chaos.snapshot import Snapshot

_OPEN = ("placed", "packed")


def nothing_lost_or_unexpected(history: History, snapshot: Snapshot) -> Iterator[str]:
    """Yield violations of I1: acknowledged accounts, orders and cancellations exist once, rejected ones do not."""
    yield from _find_differences("account", Action.REGISTER, history, [account.email for account in snapshot.accounts])
    ours = [order for order in snapshot.orders if order.user_id in history.user_ids]
    keys = {key.order_id: (key.user_id, key.key) for key in snapshot.keys}
    # An order without a key is compared under its own id, so that it is reported as unexpected.
    keys_of_orders = [keys.get(order.id, (order.user_id, order.id)) for order in ours]
    yield from _find_differences("order", Action.PLACE, history, keys_of_orders)
    cancelled = [order.id for order in ours if order.status == "cancelled"]
    yield from _find_differences("cancellation", Action.CANCEL, history, cancelled)


def _find_differences(
    what: str, action: Action, history: History, observed: list[str] | list[tuple[str, str]]
) -> Iterator[str]:
    def keys_with(outcome: Outcome) -> set[str] | set[tuple[str, str]]:
        operations = list(history.of(action, outcome))
        if action is Action.PLACE:  # an idempotency key is unique per user
            return {(operation.user_id, operation.key) for operation in operations}
        return {operation.key for operation in operations}

    return find_differences(
        what,
        acknowledged=keys_with(Outcome.OK),
        indeterminate=keys_with(Outcome.INDETERMINATE),
        observed=observed,
    )


def one_order_per_key(history: History, snapshot: Snapshot) -> Iterator[str]:
    """Yield violations of I2: a key has one order, and an order has one key.

    Every response for the key has the id of its order.
    """
    by_key = {(key.user_id, key.key): key.order_id for key in snapshot.keys}
    for operation in history.of(Action.PLACE):
        for response in sorted(set(operation.responses)):
            if response != (order_id := by_key.get((operation.user_id, operation.key))):
                yield f"key {operation.key} got the response {response} but has {order_id}"
    keyed = Counter(key.order_id for key in snapshot.keys)
    for order in snapshot.orders:
        if order.user_id in history.user_ids and keyed[order.id] != 1:
            yield f"order {order.id} has {keyed[order.id]} keys"


def stock_adds_up(_history: History, snapshot: Snapshot) -> Iterator[str]:
    """Yield violations of I8: open orders have exactly the reserved units, and no unit is created or lost."""
    in_open_orders, in_shipped_orders = Counter[str](), Counter[str]()
    for order in snapshot.orders:
        if order.status == "cancelled":
            continue
        for sku, quantity in order.items:
            (in_open_orders if order.status in _OPEN else in_shipped_orders)[sku] += quantity
    for product in snapshot.products:
        reserved, shipped = in_open_orders[product.sku], in_shipped_orders[product.sku]
        if product.reserved != reserved or not 0 <= product.reserved <= product.stock:
            yield f"{product.sku}: {product.reserved} of {product.stock} reserved, open orders have {reserved}"
        if product.shipped != shipped:
            yield f"{product.sku}: {product.shipped} shipped, orders have {shipped}"
        if product.stock + product.shipped != product.arrived:
            yield f"{product.sku}: {product.stock} + {product.shipped} shipped of {product.arrived} that arrived"
