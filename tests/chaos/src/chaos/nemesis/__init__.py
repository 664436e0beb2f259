"""Who breaks things, a function for each row of the matrix; when it returns, nothing is broken on purpose."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from chaos.nemesis.scene import Scene

Nemesis: TypeAlias = Callable[[Scene], Awaitable[None]]

__all__ = ["Nemesis", "Scene"]
