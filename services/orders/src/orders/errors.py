"""The problems of this service, besides those of `shared.errors.problems`."""

from collections.abc import Sequence
from uuid import UUID

from shared.errors.problems import ConflictError, FieldError, NotFoundError, UnprocessableError

RETRY_AFTER_S = 1


class ProductNotFoundError(NotFoundError):
    """404: the catalog has no such product."""

    slug, title = "product-not-found", "No such product"


class OrderNotFoundError(NotFoundError):
    """404: the order does not exist or belongs to another user. The response does not say which."""

    slug, title = "order-not-found", "No such order"

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"You have no order {order_id}")


class UnknownProductError(UnprocessableError):
    """422: an item names a product that is not in the catalog."""

    slug, title = "unknown-product", "An item is not in the catalog"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("See errors for the items that are not in the catalog", errors=errors)


class OutOfStockError(ConflictError):
    """409: an item requests more units than are available. Nothing was reserved."""

    slug, title = "out-of-stock", "Not enough in stock"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("Nothing was ordered; see errors for what is available", errors=errors)


class InvalidTransitionError(ConflictError):
    """409: the order's status does not allow the transition."""

    slug, title = "order-state", "The order's status does not allow this"


class IdempotencyKeyInFlightError(ConflictError):
    """409: a request with the same key is being processed. A retry gets the response of that request."""

    slug, title = "idempotency-key-in-flight", "A request with this key is being processed"

    def __init__(self) -> None:
        super().__init__(
            "A request with this Idempotency-Key is being processed; retry to get its response",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )


class IdempotencyKeyReusedError(UnprocessableError):
    """422: the key belongs to an order with other items."""

    slug, title = "idempotency-key-reused", "The key was used for another order"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for an order with other items",
            errors=[FieldError(field="Idempotency-Key", message="use a new key for a new order")],
        )


class ReportNotFoundError(NotFoundError):
    """404: the report does not exist, belongs to another user, or was deleted after its retention."""

    slug, title = "report-not-found", "No such report"

    def __init__(self, report_id: UUID) -> None:
        super().__init__(f"You have no report {report_id}")


class InvalidPeriodError(UnprocessableError):
    """422: the period of a report ends before it starts, is too long, or starts in the future."""

    slug, title = "report-period", "The period of the report is wrong"

    def __init__(self, *, field: str, message: str) -> None:
        super().__init__(f"{field} {message}", errors=[FieldError(field=field, message=message)])


class ReportNotReadyError(ConflictError):
    """409: the report has no file, because it is not done, has failed, or its file was deleted."""

    slug, title = "report-not-ready", "The report has no file"


class ReportFinishedError(ConflictError):
    """409: the report is done or has failed, and both are final.

    The worker has called begin or progress, or it has called finish for a failed report or fail for a report that is
    done.
    """

    slug, title = "report-finished", "The report is finished"
