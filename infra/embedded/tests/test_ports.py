"""A taken port is explained before anything is started."""

import os
import socket

from embedded.ports import Port, taken
from testkit.apps import free_port

PORT = Port(0, "gateway", "the public API")


class TestTaken:
    def test_is_silent_about_a_free_port(self) -> None:
        assert taken([(PORT, free_port())]) == []

    def test_says_which_port_who_wants_it_who_holds_it_and_what_to_do(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            number = listener.getsockname()[1]
            [line] = taken([(PORT, number)])
        assert line.startswith(f"port {number} is taken by ")
        assert f"(pid {os.getpid()}); gateway needs it for the public API. Stop it, or" in line
        assert line.endswith(f"HOPLINE_PORT_OFFSET={number - PORT.number + 100} make up")

    def test_sees_a_listener_on_all_interfaces(self) -> None:
        with socket.create_server(("0.0.0.0", 0)) as listener:
            assert taken([(PORT, listener.getsockname()[1])])
