"""The set test: what was acknowledged is there, and nothing is there that nobody may have caused."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any


def compared(
    what: str, *, acknowledged: Collection[Any], indeterminate: Collection[Any], observed: Iterable[Any]
) -> Iterator[str]:
    """What breaks it: lost, unexpected, duplicated.

    lost = acknowledged − observed; unexpected = observed − acknowledged − indeterminate, which has what was refused and
    happened all the same. What is indeterminate may be there, once.
    """
    there = Counter(observed)
    yield from (f"{what} lost: {_words(one)}" for one in acknowledged if one not in there)
    possible = {*acknowledged, *indeterminate}
    yield from (f"{what} unexpected: {_words(one)}" for one in there if one not in possible)
    yield from (f"{what} {times} times: {_words(one)}" for one, times in there.items() if times > 1)


def _words(one: Any) -> str:
    return " ".join(map(str, one)) if isinstance(one, tuple) else str(one)
