"""Start, failed start and stop of the process."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict

import httpx
import pytest

from observatory.settings import Settings
from shared.validation.port_offset import MAX_PORT_OFFSET
from testkit.observatory import Observatory


def run_observatory(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run an observatory that is expected to exit by itself, and return its result."""
    return subprocess.run(
        [sys.executable, "-m", "observatory"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


class TestStart:
    def test_error_names_the_port_when_it_is_taken(self, observatory: Observatory) -> None:
        rejected = run_observatory(HOPLINE_PORT_OFFSET=str(observatory.offset))

        assert rejected.returncode == 1
        assert f"cannot listen on 127.0.0.1:{observatory.port('otlp')}" in rejected.stderr
        assert "HOPLINE_PORT_OFFSET" in rejected.stderr
        assert "Traceback" not in rejected.stderr

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("HOPLINE_PORT_OFFSET", "many"),
            ("HOPLINE_PORT_OFFSET", "-1000"),
            ("HOPLINE_PORT_OFFSET", str(MAX_PORT_OFFSET + 1)),
            ("HOPLINE_PORT_OFFSET", "1_000"),
            ("OBSERVATORY_MAX_SPANS", "0"),
            ("OBSERVATORY_MAX_SERIES", "20001"),
            ("OBSERVATORY_MAX_POINTS", "1"),
            ("OBSERVATORY_MAX_METRIC_MINUTES", "1441"),
            ("OBSERVATORY_MAX_SPANS", " 5"),
            ("OBSERVATORY_MAX_SPANS", "٣"),
        ],
    )
    def test_error_names_the_variable_when_its_value_is_invalid(self, name: str, value: str) -> None:
        rejected = run_observatory(**{name: value})

        assert rejected.returncode == 1
        assert f"{name}='{value}': expected a whole number" in rejected.stderr

    @pytest.mark.parametrize("environment", [{}, {"HOST": ""}], ids=["no HOST", "an empty HOST"])
    def test_host_is_a_loopback_address_by_default(self, environment: dict[str, str]) -> None:
        assert Settings.from_environment(environment).host == "127.0.0.1"

    @pytest.mark.parametrize(("raw", "offset"), [("", 0), ("0", 0), (str(MAX_PORT_OFFSET), MAX_PORT_OFFSET)])
    def test_offset_is_added_to_every_port(self, raw: str, offset: int) -> None:
        ports = asdict(Settings.from_environment({"HOPLINE_PORT_OFFSET": raw}).ports)
        default_ports = {"otlp": 4318, "jaeger": 16686, "loki": 3100, "prometheus": 9090, "mailpit": 8025, "smtp": 1025}
        assert ports == {name: port + offset for name, port in default_ports.items()}


class TestPaths:
    @pytest.mark.parametrize(
        ("port", "path"),
        [
            ("otlp", "/v1/traces/"),
            ("jaeger", "/api/services/"),
            ("jaeger", "/api/traces/"),
            ("loki", "/ready/"),
            ("prometheus", "/api/v1/query/"),
            ("mailpit", "/api/v1/messages/"),
        ],
    )
    def test_path_with_a_trailing_slash_is_not_redirected(self, observatory: Observatory, port: str, path: str) -> None:
        response = httpx.get(observatory.url(port, path), headers={"Host": "evil.example"}, timeout=30)

        assert response.status_code == 404
        assert "location" not in response.headers


class TestStop:
    @pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
    def test_process_exits_cleanly_when_connections_are_open(
        self, limited_observatory: Observatory, signum: int
    ) -> None:
        with (
            socket.create_connection(("127.0.0.1", limited_observatory.port("smtp")), timeout=10) as mail,
            socket.create_connection(("127.0.0.1", limited_observatory.port("jaeger")), timeout=10) as web,
        ):
            web.sendall(b"GET /api/services HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert web.recv(15) == b"HTTP/1.1 200 OK"
            assert mail.recv(3) == b"220"
            limited_observatory.process.send_signal(signum)

            assert limited_observatory.process.wait(timeout=10) == 0
