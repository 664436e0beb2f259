"""Everything that can go wrong here, besides what `shared.errors` covers."""

from collections.abc import Sequence
from uuid import UUID

from shared.errors import Conflict, FieldError, NotFound, Unprocessable

RETRY_AFTER_S = 1


class ProductNotFound(NotFound):
    """404: no such product."""

    slug, title = "product-not-found", "No such product"


class OrderNotFound(NotFound):
    """404: no such order, or another user's: whoever may not see an order learns nothing about it."""

    slug, title = "order-not-found", "No such order"

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"You have no order {order_id}")


class UnknownProduct(Unprocessable):
    """422: an item names a product that is not in the catalog."""

    slug, title = "unknown-product", "An item is not in the catalog"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("See errors for the items that are not in the catalog", errors=errors)


class OutOfStock(Conflict):
    """409: less is available than was asked for, of at least one item; nothing was reserved."""

    slug, title = "out-of-stock", "Not enough in stock"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("Nothing was ordered; see errors for what is available", errors=errors)


class IllegalMove(Conflict):
    """409: the order's state does not allow it."""

    slug, title = "order-state", "The order's state does not allow this"


class KeyInFlight(Conflict):
    """409: another request with the same key is being answered right now; its retry gets that answer."""

    slug, title = "idempotency-key-in-flight", "A request with this key is being processed"

    def __init__(self) -> None:
        super().__init__(
            "A request with this Idempotency-Key is being processed; ask again for its answer",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )


class KeyReused(Unprocessable):
    """422: the key belongs to an order with other items."""

    slug, title = "idempotency-key-reused", "The key was used for another order"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for an order with other items",
            errors=[FieldError(field="Idempotency-Key", message="use a new key for a new order")],
        )


class ReportNotFound(NotFound):
    """404: no such report, another user's, or one so old that it is gone."""

    slug, title = "report-not-found", "No such report"

    def __init__(self, report_id: UUID) -> None:
        super().__init__(f"You have no report {report_id}")


class WrongPeriod(Unprocessable):
    """422: a report's period runs backwards, is too long, or has not begun yet."""

    slug, title = "report-period", "The period of the report is wrong"

    def __init__(self, *, field: str, message: str) -> None:
        super().__init__(f"{field} {message}", errors=[FieldError(field=field, message=message)])


class ReportNotReady(Conflict):
    """409: there is no file to download: not yet, or, of a report that failed, never."""

    slug, title = "report-not-ready", "The report has no file"


class ReportFinished(Conflict):
    """409: the report is done or failed, and stays so."""

    slug, title = "report-finished", "The report is finished"
