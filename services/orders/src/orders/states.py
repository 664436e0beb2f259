"""The life of an order: every state, every move between two of them, and what each move does to the stock.

::

    placed ──pack──▶ packed ──ship──▶ shipped
       └────cancel──▶ cancelled

A move that has happened already is repeated without effect, so that a caller whose answer was lost can simply ask
again. Everything else that is not drawn above is refused.
"""

from dataclasses import dataclass
from enum import StrEnum


class OrderStatus(StrEnum):
    """`placed → packed → shipped`, or `placed → cancelled`."""

    PLACED = "placed"
    PACKED = "packed"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"


LIVE = frozenset({OrderStatus.PLACED, OrderStatus.PACKED})
"""The states in which an order holds reserved stock."""


class StockEffect(StrEnum):
    """What becomes of the units an order has reserved."""

    KEEP = "keep"
    RELEASE = "release"
    """They are available again."""
    SHIP = "ship"
    """They leave the warehouse."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One arrow of the drawing. `behind` are the states in which it has happened already."""

    source: OrderStatus
    target: OrderStatus
    behind: frozenset[OrderStatus]
    stock: StockEffect


PACK = Move(
    source=OrderStatus.PLACED,
    target=OrderStatus.PACKED,
    behind=frozenset({OrderStatus.PACKED, OrderStatus.SHIPPED}),
    stock=StockEffect.KEEP,
)
SHIP = Move(
    source=OrderStatus.PACKED,
    target=OrderStatus.SHIPPED,
    behind=frozenset({OrderStatus.SHIPPED}),
    stock=StockEffect.SHIP,
)
CANCEL = Move(
    source=OrderStatus.PLACED,
    target=OrderStatus.CANCELLED,
    behind=frozenset({OrderStatus.CANCELLED}),
    stock=StockEffect.RELEASE,
)
