"""The client address that rate limits count."""

import pytest

from shared.web.client_address import get_client_address


class TestClientAddress:
    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("::ffff:cb00:7107", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:DB8:1:2::7", "2001:db8:1:2::"),
            ("fe80::1%eth0", "fe80::"),
            ("unix:", "unix:"),
        ],
    )
    def test_address_is_an_ipv4_address_or_an_ipv6_network(self, host: str, expected: str) -> None:
        assert get_client_address({"type": "http", "client": (host, 4711)}) == expected

    def test_address_is_empty_when_the_server_has_none(self) -> None:
        assert get_client_address({"type": "http", "client": None}) == ""
