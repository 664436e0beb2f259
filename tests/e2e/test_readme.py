"""The commands of the README under "Be the client", as a reader would paste them."""

import json
import re
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from testkit.stack import Stack

pytestmark = pytest.mark.xdist_group("stack")

README = Path(__file__).parents[2] / "README.md"


def read_commands() -> str:
    """Return the commands under "Be the client"."""
    found = re.search(r"## Be the client\n+```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert found
    return found[1]


class TestBeTheClient:
    def test_every_command_succeeds(self, stack: Stack) -> None:
        email = f"ada-{uuid4().hex[:12]}@readme.example"  # unique, because a stack can outlive one run of the tests
        commands = read_commands().replace("http://localhost:8000", stack.gateway).replace("ada@example.com", email)
        done = subprocess.run(  # noqa: S603 - the README of this checkout
            ["/bin/bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        decoder, text, responses = json.JSONDecoder(), done.stdout.strip(), []
        while text:
            response, end = decoder.raw_decode(text)
            responses.append(response)
            text = text[end:].lstrip()
        account, products, order, cancelled, dashboard, health = responses
        assert account["email"] == email
        assert len(products["items"]) == 3
        assert order["status"] in {"placed", "packed", "shipped"}
        assert cancelled["status"] in {"cancelled", 409}  # 409 is the status of a problem: the order was packed before
        assert dashboard["degraded"] == []
        assert health["status"] == "ready"
