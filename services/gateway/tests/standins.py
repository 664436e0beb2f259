"""Services as the gateway sees them: they answer as told and remember what they were asked."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

JSON = "application/json"
PROBLEM = "application/problem+json"
KEYS = "/.well-known/jwks.json"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as it arrived. `path` is still percent-encoded."""

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes


@dataclass(kw_only=True)
class Ask:
    """What a behaviour has to work with."""

    seen: Seen
    receive: Receive
    send: Send


Behaviour = Callable[[Ask], Awaitable[None]]


@dataclass(kw_only=True)
class StandIn:
    """An ASGI application to `serve`. What nobody told it to answer is a 404 problem.

    `seen` are the requests but those for the keys of access tokens, which the gateway fetches at any time.
    """

    name: str
    seen: list[Seen] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    _behaviours: dict[str, Behaviour] = field(default_factory=dict)

    def answers(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str = JSON,
        until: asyncio.Event | None = None,
    ) -> None:
        """Answer so from now on, once `until` is set where given; `body` is bytes or becomes JSON."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)

        async def behave(ask: Ask) -> None:
            if until is not None:
                await until.wait()
            await _respond(ask.send, status, {"content-type": media_type, **(headers or {})}, content)

        self._behaviours[f"{method} {path}"] = behave

    def refuses(
        self,
        method: str,
        path: str,
        *,
        status: int,
        slug: str,
        headers: Mapping[str, str] | None = None,
        until: asyncio.Event | None = None,
    ) -> None:
        """Answer by a problem, as `shared.errors` renders it."""
        problem = {"type": f"https://hopline.example/problems/{slug}", "title": slug, "status": status, "detail": slug}
        self.answers(
            method,
            path,
            {**problem, "instance": path, "trace_id": None},
            status=status,
            headers=headers,
            media_type=PROBLEM,
            until=until,
        )

    def fails_first(self, method: str, path: str, *, times: int, headers: Mapping[str, str] | None = None) -> None:
        """Be unavailable so often, then answer as told before."""
        well = self._behaviours[f"{method} {path}"]
        self.refuses(method, path, status=503, slug="unavailable", headers=headers)
        self._in_turn(method, path, times=times, then=well)

    def hangs_first(self, method: str, path: str) -> None:
        """Never answer one request, and the others as told before."""
        well = self._behaviours[f"{method} {path}"]
        self.hangs(method, path)
        self._in_turn(method, path, times=1, then=well)

    def _in_turn(self, method: str, path: str, *, times: int, then: Behaviour) -> None:
        first = self._behaviours[f"{method} {path}"]
        left = times

        async def behave(ask: Ask) -> None:
            nonlocal left
            left -= 1
            await (first if left >= 0 else then)(ask)

        self._behaviours[f"{method} {path}"] = behave

    def hangs(self, method: str, path: str) -> None:
        """Never answer; `abandoned` tells when the gateway gave up."""

        async def behave(ask: Ask) -> None:
            while (await ask.receive())["type"] != "http.disconnect":
                pass
            self.abandoned.append(ask.seen.path)

        self._behaviours[f"{method} {path}"] = behave

    def breaks_off(self, method: str, path: str) -> None:
        """Begin an answer and crash."""

        async def behave(ask: Ask) -> None:
            await ask.send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
            await ask.send({"type": "http.response.body", "body": b'{"half":', "more_body": True})

        self._behaviours[f"{method} {path}"] = behave

    def streams(self, method: str, path: str, first: bytes, rest: bytes, *, between: asyncio.Event) -> None:
        """Answer with a CSV in two pieces, the second once `between` is set; `abandoned` tells who hung up before."""

        async def behave(ask: Ask) -> None:
            length = str(len(first) + len(rest)).encode()
            headers = [(b"content-type", b"text/csv"), (b"content-length", length)]
            await ask.send({"type": "http.response.start", "status": 200, "headers": headers})
            await ask.send({"type": "http.response.body", "body": first, "more_body": True})
            waiting = [asyncio.ensure_future(between.wait()), asyncio.ensure_future(_hung_up(ask))]
            done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if waiting[1] in done:
                self.abandoned.append(ask.seen.path)
                return
            await ask.send({"type": "http.response.body", "body": rest})

        self._behaviours[f"{method} {path}"] = behave

    def pours(self, method: str, path: str, *, chunks: int, chunk: bytes) -> list[int]:
        """Answer with many chunks, as fast as they are taken; the list says how many have been."""
        sent: list[int] = []

        async def behave(ask: Ask) -> None:
            await ask.send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/csv")]})
            for number in range(chunks):
                await ask.send({"type": "http.response.body", "body": chunk, "more_body": True})
                sent.append(number)
            await ask.send({"type": "http.response.body", "body": b""})

        self._behaviours[f"{method} {path}"] = behave
        return sent

    def asked(self, method: str, path: str) -> list[Seen]:
        """The requests of this kind."""
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        seen = await _read(scope, receive)
        if seen.path != KEYS:
            self.seen.append(seen)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        behave = self._behaviours.get(f"{seen.method} {unquote(seen.path)}", _not_found)
        try:
            await behave(Ask(seen=seen, receive=receive, send=send))
        finally:
            self.at_once -= 1


async def _not_found(ask: Ask) -> None:
    problem: dict[str, Any] = {"title": "No such resource", "status": 404, "instance": ask.seen.path}
    await _respond(ask.send, 404, {"content-type": PROBLEM}, orjson.dumps(problem))


async def _respond(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _read(scope: Scope, receive: Receive) -> Seen:
    body = b""
    message: Message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return Seen(
        method=scope["method"],
        path=scope["raw_path"].decode(),
        query=scope["query_string"].decode(),
        headers=Headers(scope=scope),
        body=body,
    )


async def _live(receive: Receive, send: Send) -> None:
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


async def _hung_up(ask: Ask) -> None:
    while (await ask.receive())["type"] != "http.disconnect":
        pass
