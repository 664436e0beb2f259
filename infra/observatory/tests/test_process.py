"""The process: how it starts, refuses to start, and stops."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from testkit.observatory import Observatory


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "observatory"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


class TestStart:
    def test_names_the_taken_port(self, observatory: Observatory) -> None:
        refused = run(HOPLINE_PORT_OFFSET=str(observatory.offset))

        assert refused.returncode == 1
        assert f"cannot listen on 127.0.0.1:{observatory.port('otlp')}" in refused.stderr
        assert "HOPLINE_PORT_OFFSET" in refused.stderr
        assert "Traceback" not in refused.stderr

    @pytest.mark.parametrize(
        ("name", "value"),
        [("HOPLINE_PORT_OFFSET", "many"), ("HOPLINE_PORT_OFFSET", "60000"), ("OBSERVATORY_MAX_SPANS", "0")],
    )
    def test_names_the_wrong_variable(self, name: str, value: str) -> None:
        refused = run(**{name: value})

        assert refused.returncode == 1
        assert f"{name}='{value}': expected a whole number" in refused.stderr


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_leaves_cleanly_with_connections_open(self, small: Observatory, number: int) -> None:
        with (
            socket.create_connection(("127.0.0.1", small.port("smtp")), timeout=10) as mail,
            socket.create_connection(("127.0.0.1", small.port("jaeger")), timeout=10) as web,
        ):
            web.sendall(b"GET /api/services HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert web.recv(15) == b"HTTP/1.1 200 OK"
            assert mail.recv(3) == b"220"
            small.process.send_signal(number)

            assert small.process.wait(timeout=10) == 0

        assert small.process.stderr is not None
        assert "Traceback" not in small.process.stderr.read()
