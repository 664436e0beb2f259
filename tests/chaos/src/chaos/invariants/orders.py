"""Invariants of accounts, orders, idempotency keys and stock."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaos.history import Action, History, Outcome
from chaos.invariants.sets import compared
from chaos.snapshot import Snapshot

_LIVE = ("placed", "packed")


def nothing_lost_or_unexpected(history: History, snapshot: Snapshot) -> Iterator[str]:
    """I1: an acknowledged account, order or cancellation exists once; a rejected one does not exist."""
    yield from _compared("account", Action.REGISTER, history, [account.email for account in snapshot.accounts])
    ours = [order for order in snapshot.orders if order.user_id in history.user_ids]
    keys = {key.order_id: (key.user_id, key.key) for key in snapshot.keys}
    yield from _compared(
        "order", Action.PLACE, history, [keys.get(order.id, (order.user_id, order.id)) for order in ours]
    )
    cancelled = [order.id for order in ours if order.status == "cancelled"]
    yield from _compared("cancellation", Action.CANCEL, history, cancelled)


def _compared(
    what: str, action: Action, history: History, observed: list[str] | list[tuple[str, str]]
) -> Iterator[str]:
    def known(*outcomes: Outcome) -> set[str] | set[tuple[str, str]]:
        found = list(history.of(action, *outcomes))
        by_user = action is Action.PLACE
        return (
            {(operation.user_id, operation.key) for operation in found}
            if by_user
            else {operation.key for operation in found}
        )

    return compared(what, acknowledged=known(Outcome.OK), indeterminate=known(Outcome.INDETERMINATE), observed=observed)


def one_order_per_key(history: History, snapshot: Snapshot) -> Iterator[str]:
    """I2: a key has one order, all responses for the key name that order, and each order has a key."""
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
    """I8: reserved stock is that of open orders and at most the stock, and units are neither created nor lost."""
    held: defaultdict[tuple[str, bool], int] = defaultdict(int)
    for order in snapshot.orders:
        if order.status == "cancelled":
            continue
        for sku, quantity in order.items:
            held[sku, order.status in _LIVE] += quantity
    for product in snapshot.products:
        live, gone = held[product.sku, True], held[product.sku, False]
        if product.reserved != live or not 0 <= product.reserved <= product.stock:
            yield f"{product.sku}: {product.reserved} of {product.stock} reserved, open orders have {live}"
        if product.shipped != gone:
            yield f"{product.sku}: {product.shipped} shipped, orders have {gone}"
        if product.stock + product.shipped != product.arrived:
            yield f"{product.sku}: {product.stock} + {product.shipped} shipped of {product.arrived} that arrived"
