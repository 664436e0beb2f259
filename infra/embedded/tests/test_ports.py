"""A port in use is reported before any process starts."""

import os
import socket

from embedded.ports import Port, list_conflicts
from testkit.apps import free_port

PORT = Port(0, "gateway", "the public API")


class TestListConflicts:
    def test_free_port_is_not_reported(self) -> None:
        assert list_conflicts([(PORT, free_port())]) == []

    def test_message_names_port_process_holder_and_remedy(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            number = listener.getsockname()[1]
            [line] = list_conflicts([(PORT, number)])
        assert line.startswith(f"port {number} is taken by ")
        assert f"(pid {os.getpid()}); gateway needs it for the public API. Stop it, or" in line
        assert line.endswith(f"HOPLINE_PORT_OFFSET={number - PORT.number + 100} make up")

    def test_listener_on_all_interfaces_is_found(self) -> None:
        with socket.create_server(("0.0.0.0", 0)) as listener:
            assert list_conflicts([(PORT, listener.getsockname()[1])])
