"""`python -m console room` with a fake shop that rejects the room."""

import io

import pytest
from rich.console import Console

from console.failures import FailedError
from console.narration import Narrator
from console.rooms import RoomDemo

from .conftest import ServeShop
from .fake_shop import Behaviour


async def test_error_has_the_reason_when_the_room_is_rejected(serve_shop: ServeShop) -> None:
    async with serve_shop(Behaviour()) as stack:
        with pytest.raises(FailedError, match="rejected product:mug: rooms_per_process"):
            await RoomDemo(stack=stack, narrator=Narrator(Console(file=io.StringIO()))).run("mug")
