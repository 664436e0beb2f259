"""The addresses of the stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import httpx

from console.failures import FailedError
from shared.validation.port_offset import parse_port_offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Base URLs, without a slash at the end."""

    gateway: str
    jaeger: str
    loki: str
    prometheus: str
    mailpit: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read HOPLINE_{GATEWAY,JAEGER,LOKI,PROMETHEUS,MAILPIT}_URL.

        The default is localhost with the usual port plus HOPLINE_PORT_OFFSET.

        Raises FailedError if the offset or an address is invalid.
        """
        raw = environ.get("HOPLINE_PORT_OFFSET", "")
        try:
            offset = parse_port_offset(raw)
        except ValueError as error:
            raise FailedError(f"HOPLINE_PORT_OFFSET={raw!r}: {error}") from None

        def url(name: str, port: int) -> str:
            text = environ.get(f"HOPLINE_{name}_URL") or f"http://localhost:{port + offset}"
            if not _is_address(text):
                raise FailedError(f"HOPLINE_{name}_URL={text!r}: expected an address such as http://localhost:{port}")
            return text.rstrip("/")

        return cls(
            gateway=url("GATEWAY", 8000),
            jaeger=url("JAEGER", 16686),
            loki=url("LOKI", 3100),
            prometheus=url("PROMETHEUS", 9090),
            mailpit=url("MAILPIT", 8025),
        )

    def trace_page(self, trace_id: str) -> str:
        """Return the address of the trace's page."""
        return f"{self.jaeger}/trace/{trace_id}"


def _is_address(text: str) -> bool:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in {"http", "https"} and bool(url.host)
