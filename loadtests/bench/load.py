"""The load: one process that keeps some connections busy, each asking again as soon as it is answered.

Written on asyncio's protocols: some 20 µs a request, a tenth of what an HTTP client library takes, so that it is never
what is measured. `cpu_share` of the outcome says how far that holds. It asks always the same, but for `{unique}` in
the request, which becomes a word that was never used before, and `{n}`, which becomes 000, 001, … 999 and 000 again.

The process is `python -m bench.load`; it reads what to do as JSON on standard input and writes an `Outcome` as JSON.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import cast

import uvloop

from bench.cores import Core, started_on
from bench.figures import Effort

UNIQUE, N = b"{unique}", b"{n}"
NUMBERS = 1000

_PATIENCE_S = 30.0
"""How much longer it waits on a busy machine: until there are as many answers as connections, and for the last ones."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to ask, by how many connections at once."""

    method: str = "GET"
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    connections: int
    expected_status: int = 200

    def request(self) -> str:
        """The request on the wire, still with `{unique}` and `{n}` in it."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        body = self.body.replace("{n}", "000")
        lines += [f"Content-Length: {len(body.encode())}"] if body else []
        return "\r\n".join([*lines, "", self.body])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it. `cpu_share` is how much of one core the load itself took."""

    requests: int
    requests_with_warmup: int
    failures: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_share: float

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds


class LoadFailed(Exception):
    """Requests were not answered as expected: a figure of them would mean nothing."""


async def drive(load: Load, *, port: int, effort: Effort) -> Outcome:
    """Run the load against `port`, from its own core; raises LoadFailed where an answer was not the expected one."""
    return await measured("bench.load", {"load": asdict(load), "port": port, "effort": asdict(effort)}, core=Core.LOAD)


async def measured(module: str, asked: Mapping[str, object], *, core: Core) -> Outcome:
    """Have a process of its own do something again and again: `python -m module`, told what as JSON on standard input.

    It writes an `Outcome` as JSON. Raises LoadFailed.
    """
    with started_on(core):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
    said, _ = await process.communicate(json.dumps(asked).encode())
    if process.returncode:
        raise LoadFailed(f"{module} ended with status {process.returncode}")
    outcome = Outcome(**json.loads(said))
    if outcome.failures or not outcome.requests:
        raise LoadFailed(f"{module}: {outcome.failures} failures, {outcome.requests} answers: {asked}")
    return outcome


class _Tally:
    """What all connections count together."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.latencies = array("d")
        self.failures = 0
        self.answers = 0
        self.counting = False
        self.done = False
        self.enough = asyncio.Event()
        self.quiet = asyncio.Event()
        self._open = load.connections
        self._asked = 0
        self._request = load.request().encode()
        self._varies = UNIQUE in self._request or N in self._request
        self._start = b"%d-%d-" % (os.getpid(), time.time_ns())
        self.expected = f"HTTP/1.1 {load.expected_status} ".encode()

    def next_request(self) -> bytes:
        """The bytes of one more request."""
        if not self._varies:
            return self._request
        self._asked += 1
        number = b"%03d" % (self._asked % NUMBERS)
        return self._request.replace(UNIQUE, b"%b%d" % (self._start, self._asked)).replace(N, number)

    def answered(self, started: float, *, ok: bool) -> None:
        """Count one answer, in full unless this is still the warm-up."""
        self.answers += 1
        if self.counting:
            self.latencies.append(time.perf_counter() - started)
            self.failures += not ok
            if len(self.latencies) == self.load.connections:
                self.enough.set()

    def closed(self) -> None:
        """Count one connection's end: a failure while the load lasts, for it is not opened again."""
        self.failures += not self.done
        self._open -= 1
        if not self._open:
            self.quiet.set()


class _Connection(asyncio.Protocol):
    """Asks, reads exactly one answer, asks again."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._received = bytearray()
        self._transport: asyncio.Transport
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0 or len(self._received) < head + 4 + _body_length(self._received, head):
            return
        self._tally.answered(self._started, ok=self._received.startswith(self._tally.expected))
        self._received.clear()
        if self._tally.done:
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._tally.closed()

    def _ask(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._tally.next_request())


def _body_length(received: bytearray, head: int) -> int:
    """The declared length; every server here declares it."""
    lowered = bytes(received[:head]).lower()
    at = lowered.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    return int(lowered[at + 17 :].partition(b"\r\n")[0])


async def _ask_for_a_while(load: Load, *, port: int, effort: Effort) -> Outcome:
    tally = _Tally(load)
    loop = asyncio.get_running_loop()
    for _ in range(load.connections):
        await loop.create_connection(lambda: _Connection(tally), "127.0.0.1", port)
    await asyncio.sleep(effort.warmup_seconds)
    tally.counting = True
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(effort.seconds)
    await _patiently(tally.enough)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    tally.counting, tally.done = False, True
    await _patiently(tally.quiet)
    latencies = sorted(tally.latencies)
    return Outcome(
        requests=len(latencies),
        requests_with_warmup=tally.answers,
        failures=tally.failures,
        seconds=seconds,
        p50_ms=quantile(latencies, 0.5) * 1000,
        p99_ms=quantile(latencies, 0.99) * 1000,
        cpu_share=cpu_seconds / seconds,
    )


async def _patiently(event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), _PATIENCE_S)


def quantile(ordered: list[float], share: float) -> float:
    """The value below which `share` of the ordered values lie; 0 where there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _main() -> None:
    asked = json.load(sys.stdin)
    outcome = uvloop.run(_ask_for_a_while(Load(**asked["load"]), port=asked["port"], effort=Effort(**asked["effort"])))
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    _main()
