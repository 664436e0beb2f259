"""The states of an order, the transitions between them, and the effect of each transition on the stock.

::

    placed ──pack──▶ packed ──ship──▶ shipped
       └────cancel──▶ cancelled

Repeating a transition that was applied has no effect, so a caller that lost the response can retry. All other
transitions are rejected.
"""

from dataclasses import dataclass
from enum import StrEnum


class OrderStatus(StrEnum):
    """`placed → packed → shipped`, or `placed → cancelled`."""

    PLACED = "placed"
    PACKED = "packed"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


class StockEffect(StrEnum):
    """The effect of a transition on the reserved units of an order."""

    KEEP = "keep"
    RELEASE = "release"
    """The units are available again."""
    SHIP = "ship"
    """The units leave the warehouse."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A transition from `source` to `target`. It was applied before to an order in one of the states `applied_in`."""

    source: OrderStatus
    target: OrderStatus
    applied_in: frozenset[OrderStatus]
    stock: StockEffect


PACK = Transition(
    source=OrderStatus.PLACED,
    target=OrderStatus.PACKED,
    applied_in=frozenset({OrderStatus.PACKED, OrderStatus.SHIPPED}),
    stock=StockEffect.KEEP,
)
SHIP = Transition(
    source=OrderStatus.PACKED,
    target=OrderStatus.SHIPPED,
    applied_in=frozenset({OrderStatus.SHIPPED}),
    stock=StockEffect.SHIP,
)
CANCEL = Transition(
    source=OrderStatus.PLACED,
    target=OrderStatus.CANCELLED,
    applied_in=frozenset({OrderStatus.CANCELLED}),
    stock=StockEffect.RELEASE,
)
