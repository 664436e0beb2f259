"""The address of a client, and a limit on concurrent operations per address."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Literal

from starlette.types import Scope

_IPV6_NETWORK_BITS = 64


class AddressLimit:
    """Limits concurrent operations: at most `total` in this process, and `per_address` for one client address."""

    def __init__(self, *, total: int, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._count = 0
        self._count_by_address: Counter[str] = Counter()

    def find_reached_limit(self, address: str) -> Literal["address", "total"] | None:
        """Return the limit that one more operation of this address would exceed, or None."""
        if self._count_by_address[address] >= self._per_address:
            return "address"
        return "total" if self._count >= self._total else None

    @contextmanager
    def hold(self, address: str) -> Iterator[None]:
        """Count one operation of this address while the block runs."""
        self._count += 1
        self._count_by_address[address] += 1
        try:
            yield
        finally:
            self._count -= 1
            self._count_by_address[address] -= 1
            if not self._count_by_address[address]:
                del self._count_by_address[address]


def get_client_address(scope: Scope) -> str:
    """Return the client's IPv4 address, or the /64 network of its IPv6 address.

    Providers assign at least a /64 network to each of their customers, who can use any address in it. An IPv4-mapped
    address (`::ffff:203.0.113.7`), which a socket for both protocols reports, is an IPv4 address.

    The server replaces the address of trusted proxies by X-Forwarded-For (FORWARDED_ALLOW_IPS).
    """
    return _get_ipv4_address_or_network((scope.get("client") or ("",))[0])


@lru_cache(maxsize=10_000)
def _get_ipv4_address_or_network(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host  # a Unix socket has no address
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> _IPV6_NETWORK_BITS << _IPV6_NETWORK_BITS))
