"""The load generator, a process with several connections. Each connection sends the next request after a response.

It uses asyncio's protocols and needs about 20 µs per request, a tenth of the time that an HTTP client library needs, so
that it does not limit the measurement. `cpu_share` of the outcome shows its use of a core. All requests are equal,
except that two placeholders are replaced. `{unique}`, in the path or a header, becomes a new word. `{n}`, also in the
body, becomes 001, 002, … 999, 000, 001 and so on.

The process is `python -m bench.load`. It reads its task as JSON from standard input and writes an `Outcome` as JSON.
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

UNIQUE, NUMBER = b"{unique}", b"{n}"
HEAD_END = b"\r\n\r\n"
"""The empty line between the head of a message and its body."""
NUMBERS = 1000
"""How many different values `{n}` has."""

_TIMEOUT_S = 30.0
"""Additional time on a busy machine for as many responses as connections, and for the last responses."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """A request and the number of connections."""

    method: str = "GET"
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    connections: int
    expected_status: int = 200

    def request(self) -> str:
        """Return the raw request, in which the placeholders are not replaced yet."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        sent_body = self.body.replace(NUMBER.decode(), "000")
        lines += [f"Content-Length: {len(sent_body.encode())}"] if sent_body else []
        return "\r\n".join([*lines, "", self.body])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one measurement. `cpu_share` is the share of one core that the measuring process used."""

    requests: int
    requests_with_warmup: int
    failures: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_share: float

    @property
    def per_second(self) -> float:
        """Responses per second."""
        return self.requests / self.seconds


class LoadFailedError(Exception):
    """A measurement failed, so its figures would be meaningless."""


async def drive(load: Load, *, port: int, effort: Effort) -> Outcome:
    """Run the load against `port`, on the core of load generators; raises LoadFailedError."""
    task = {"load": asdict(load), "port": port, "effort": asdict(effort)}
    return await run_measurement("bench.load", task, core=Core.LOAD)


async def run_measurement(module: str, task: Mapping[str, object], *, core: Core) -> Outcome:
    """Run `python -m module` with its task as JSON on standard input; return the `Outcome` that it writes as JSON.

    Raises:
        LoadFailedError: The process failed, a response was not as expected, a connection was closed, or no response
            arrived.
    """
    with started_on(core):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
    output, _ = await process.communicate(json.dumps(task).encode())
    if process.returncode:
        raise LoadFailedError(f"python -m {module} ended with status {process.returncode}; its error is printed above")
    outcome = Outcome(**json.loads(output))
    if outcome.failures or not outcome.requests:
        raise LoadFailedError(
            f"python -m {module}: {outcome.failures} failures, {outcome.requests} measured responses; its task: {task}"
        )
    return outcome


class _Tally:
    """The requests, and the counts of all connections together."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.latencies = array("d")
        self.failures = 0
        self.responses = 0
        self.is_measuring = False
        self.is_done = False
        self.has_enough = asyncio.Event()
        """Set once as many responses as connections were measured."""
        self.all_closed = asyncio.Event()
        self._open_connections = load.connections
        self._request_count = 0
        self._request = load.request().encode()
        self._varies = UNIQUE in self._request or NUMBER in self._request
        self._unique_prefix = b"%d-%d-" % (os.getpid(), time.time_ns())
        self.expected_start = f"HTTP/1.1 {load.expected_status} ".encode()

    def next_request(self) -> bytes:
        """Return the bytes of the next request."""
        if not self._varies:
            return self._request
        self._request_count += 1
        number = b"%03d" % (self._request_count % NUMBERS)
        unique = b"%b%d" % (self._unique_prefix, self._request_count)
        return self._request.replace(UNIQUE, unique).replace(NUMBER, number)

    def record_response(self, started: float, *, ok: bool) -> None:
        """Count one response. During the warm-up its latency and its failure are not counted."""
        self.responses += 1
        if self.is_measuring:
            self.latencies.append(time.perf_counter() - started)
            self.failures += not ok
            if len(self.latencies) == self.load.connections:
                self.has_enough.set()

    def record_close(self) -> None:
        """Count a closed connection. Before the end of the load it is a failure, because it is not opened again."""
        self.failures += not self.is_done
        self._open_connections -= 1
        if not self._open_connections:
            self.all_closed.set()


class _Connection(asyncio.Protocol):
    """Sends a request, reads one response, and repeats."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._received = bytearray()
        self._transport: asyncio.Transport
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is not a subclass
        self._send_request()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(HEAD_END)
        if head_end < 0:
            return
        body_start = head_end + len(HEAD_END)
        if len(self._received) < body_start + content_length(bytes(self._received[:head_end])):
            return
        self._tally.record_response(self._started, ok=self._received.startswith(self._tally.expected_start))
        self._received.clear()
        if self._tally.is_done:
            self._transport.close()
        else:
            self._send_request()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._tally.record_close()

    def _send_request(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._tally.next_request())


def content_length(head: bytes) -> int:
    """Return the Content-Length in the head of a message; 0 without one. No server here sends chunks."""
    _, _, value = head.lower().partition(b"\r\ncontent-length:")
    return int(value.partition(b"\r\n")[0] or 0)


async def _request_repeatedly(load: Load, *, port: int, effort: Effort) -> Outcome:
    tally = _Tally(load)
    loop = asyncio.get_running_loop()
    for _ in range(load.connections):
        await loop.create_connection(lambda: _Connection(tally), "127.0.0.1", port)
    await asyncio.sleep(effort.warmup_seconds)
    tally.is_measuring = True
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(effort.seconds)
    await _wait_with_timeout(tally.has_enough)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    tally.is_measuring, tally.is_done = False, True
    await _wait_with_timeout(tally.all_closed)
    latencies = sorted(tally.latencies)
    return Outcome(
        requests=len(latencies),
        requests_with_warmup=tally.responses,
        failures=tally.failures,
        seconds=seconds,
        p50_ms=quantile(latencies, 0.5) * 1000,
        p99_ms=quantile(latencies, 0.99) * 1000,
        cpu_share=cpu_seconds / seconds,
    )


async def _wait_with_timeout(event: asyncio.Event) -> None:
    """Return after a timeout as well: the counts then show what is missing."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), _TIMEOUT_S)


def quantile(ordered: list[float], share: float) -> float:
    """Return the value below which `share` of the ordered values are; 0 for an empty sequence."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _main() -> None:
    task = json.load(sys.stdin)
    outcome = uvloop.run(_request_repeatedly(Load(**task["load"]), port=task["port"], effort=Effort(**task["effort"])))
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    _main()
