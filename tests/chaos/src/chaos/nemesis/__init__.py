"""The faults, one function per row of the matrix. Each removes its fault before it returns."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from chaos.nemesis.scene import Scene

Nemesis: TypeAlias = Callable[[Scene], Awaitable[None]]

__all__ = ["Nemesis", "Scene"]
