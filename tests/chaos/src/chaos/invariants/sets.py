"""The set test: all acknowledged elements exist, and all existing elements have a cause."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any


def compared(
    what: str, *, acknowledged: Collection[Any], indeterminate: Collection[Any], observed: Iterable[Any]
) -> Iterator[str]:
    """Yield violations: lost, unexpected and duplicate elements.

    lost = acknowledged − observed; unexpected = observed − acknowledged − indeterminate, which includes rejected
    operations that took effect. An indeterminate element may exist once.
    """
    there = Counter(observed)
    yield from (f"{what} lost: {_words(item)}" for item in acknowledged if item not in there)
    possible = {*acknowledged, *indeterminate}
    yield from (f"{what} unexpected: {_words(item)}" for item in there if item not in possible)
    yield from (f"{what} {times} times: {_words(item)}" for item, times in there.items() if times > 1)


def _words(item: Any) -> str:
    return " ".join(map(str, item)) if isinstance(item, tuple) else str(item)
