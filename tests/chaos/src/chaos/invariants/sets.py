"""The set test: all acknowledged elements exist, and all existing elements have a cause."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any


def find_differences(
    what: str, *, acknowledged: Collection[Any], indeterminate: Collection[Any], observed: Iterable[Any]
) -> Iterator[str]:
    """Yield a description of each lost, unexpected or duplicate element.

    - An acknowledged element is lost if it was not observed.
    - An observed element is unexpected if it is neither acknowledged nor indeterminate: its operation was rejected or
      never requested. An indeterminate element may exist once.
    """
    counts = Counter(observed)
    yield from (f"{what} lost: {_describe(item)}" for item in acknowledged if item not in counts)
    possible = {*acknowledged, *indeterminate}
    yield from (f"{what} unexpected: {_describe(item)}" for item in counts if item not in possible)
    yield from (f"{what} {count} times: {_describe(item)}" for item, count in counts.items() if count > 1)


def _describe(item: Any) -> str:
    return " ".join(map(str, item)) if isinstance(item, tuple) else str(item)
