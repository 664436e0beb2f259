"""The README's walk, as a reader would paste it."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from testkit.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")

README = Path(__file__).parents[2] / "README.md"


def walk() -> str:
    """The commands under "Be the client"."""
    found = re.search(r"## Be the client\n+```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    return found[1]


class TestBeTheClient:
    def test_every_command_works_as_written(self, stack: Stack) -> None:
        commands = (
            walk().replace("http://localhost:8000", stack.gateway).replace("ada@example.com", "ada@readme.example")
        )
        done = subprocess.run(  # noqa: S603 - the README of this checkout
            ["/bin/bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        decoder, text, answers = json.JSONDecoder(), done.stdout.strip(), []
        while text:
            answer, end = decoder.raw_decode(text)
            answers.append(answer)
            text = text[end:].lstrip()
        account, products, order, cancelled, dashboard, health = answers
        assert account["email"] == "ada@readme.example"
        assert len(products["items"]) == 3
        assert order["status"] in {"placed", "packed", "shipped"}
        assert cancelled["status"] in {"cancelled", 409}
        assert dashboard["degraded"] == []
        assert health["status"] == "ready"
