"""What is written: the head of a request and its body, in one piece."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})
"""Without a body these say so by a length of zero (RFC 9110 §8.6)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a service is: `host` as sockets name it, `authority` as `Host` does, `prefix` before all of its paths."""

    url: str
    host: str
    port: int
    secure: bool
    authority: str
    prefix: str

    @classmethod
    def of(cls, url: str) -> "Origin":
        """The origin that `url` names; its path, if any, is the prefix."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        usual = _PORTS[parts.scheme]
        port = parts.port or usual
        bracketed = f"[{host}]" if ":" in host else host
        return cls(
            url=url.rstrip("/"),
            host=host,
            port=port,
            secure=parts.scheme == "https",
            authority=bracketed if port == usual else f"{bracketed}:{port}",
            prefix=parts.path.rstrip("/"),
        )

    def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """One request for `target`, a path and its query, percent-encoded; values are Latin-1, as Starlette reads them.

        Raises ValueError where a part holds what would begin another line, and so perhaps another request.
        """
        if " " in target or not (target.isascii() and target.isprintable()):
            raise ValueError(f"no target of a request: {target!r}")
        lines = [f"{method} {self.prefix}{target} HTTP/1.1", f"host: {self.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method in _WITH_CONTENT:
            lines.append(f"content-length: {len(body)}")
        head = "\r\n".join(lines)
        if head.count("\r") != len(lines) - 1 or head.count("\n") != len(lines) - 1:
            raise ValueError("a header of a request holds a line break")
        return f"{head}\r\n\r\n".encode("latin-1") + body
