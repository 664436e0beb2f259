"""The load generator: one process with several connections; each sends the next request after a response.

It uses asyncio's protocols and needs about 20 µs per request, a tenth of an HTTP client library, so that it does not
limit the measurement. `cpu_share` of the outcome shows its use of a core. All requests are equal except for two
placeholders: `{unique}` is replaced by a new word, `{n}` by 000, 001, … 999 and 000 again.

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

UNIQUE, N = b"{unique}", b"{n}"
NUMBERS = 1000

_TIMEOUT_S = 30.0
"""Additional time on a busy machine for the first response of each connection, and for the last responses."""


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
        """Return the raw request with the placeholders `{unique}` and `{n}`."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        body = self.body.replace("{n}", "000")
        lines += [f"Content-Length: {len(body.encode())}"] if body else []
        return "\r\n".join([*lines, "", self.body])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result. `cpu_share` is the share of one core that the load generator used."""

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
    """Responses were not as expected, so the figures would be meaningless."""


async def drive(load: Load, *, port: int, effort: Effort) -> Outcome:
    """Run the load against `port`, on its own core. Raises LoadFailedError if a response was not as expected."""
    task = {"load": asdict(load), "port": port, "effort": asdict(effort)}
    return await run_measurement("bench.load", task, core=Core.LOAD)


async def run_measurement(module: str, task: Mapping[str, object], *, core: Core) -> Outcome:
    """Run `python -m module` with its task as JSON on standard input; return the `Outcome` that it writes as JSON.

    Raises LoadFailedError if it fails.
    """
    with started_on(core):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
    output, _ = await process.communicate(json.dumps(task).encode())
    if process.returncode:
        raise LoadFailedError(f"{module} ended with status {process.returncode}")
    outcome = Outcome(**json.loads(output))
    if outcome.failures or not outcome.requests:
        raise LoadFailedError(f"{module}: {outcome.failures} failures, {outcome.requests} responses: {task}")
    return outcome


class _Tally:
    """Counts of all connections."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.latencies = array("d")
        self.failures = 0
        self.responses = 0
        self.counting = False
        self.done = False
        self.enough = asyncio.Event()
        self.quiet = asyncio.Event()
        self._open = load.connections
        self._request_count = 0
        self._request = load.request().encode()
        self._varies = UNIQUE in self._request or N in self._request
        self._start = b"%d-%d-" % (os.getpid(), time.time_ns())
        self.expected_start = f"HTTP/1.1 {load.expected_status} ".encode()

    def next_request(self) -> bytes:
        """Return the bytes of the next request."""
        if not self._varies:
            return self._request
        self._request_count += 1
        number = b"%03d" % (self._request_count % NUMBERS)
        return self._request.replace(UNIQUE, b"%b%d" % (self._start, self._request_count)).replace(N, number)

    def record_response(self, started: float, *, ok: bool) -> None:
        """Count one response, unless this is the warm-up."""
        self.responses += 1
        if self.counting:
            self.latencies.append(time.perf_counter() - started)
            self.failures += not ok
            if len(self.latencies) == self.load.connections:
                self.enough.set()

    def record_close(self) -> None:
        """Count a closed connection. During the load it is a failure, because it is not opened again."""
        self.failures += not self.done
        self._open -= 1
        if not self._open:
            self.quiet.set()


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
        head = self._received.find(b"\r\n\r\n")
        if head < 0 or len(self._received) < head + 4 + _body_length(self._received, head):
            return
        self._tally.record_response(self._started, ok=self._received.startswith(self._tally.expected_start))
        self._received.clear()
        if self._tally.done:
            self._transport.close()
        else:
            self._send_request()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._tally.record_close()

    def _send_request(self) -> None:
        self._started = time.perf_counter()
        self._transport.write(self._tally.next_request())


def _body_length(response: bytearray, head: int) -> int:
    """Return the content length, which all servers here send."""
    lowered = bytes(response[:head]).lower()
    at = lowered.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    return int(lowered[at + 17 :].partition(b"\r\n")[0])


async def _request_repeatedly(load: Load, *, port: int, effort: Effort) -> Outcome:
    tally = _Tally(load)
    loop = asyncio.get_running_loop()
    for _ in range(load.connections):
        await loop.create_connection(lambda: _Connection(tally), "127.0.0.1", port)
    await asyncio.sleep(effort.warmup_seconds)
    tally.counting = True
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(effort.seconds)
    await _wait_with_timeout(tally.enough)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    tally.counting, tally.done = False, True
    await _wait_with_timeout(tally.quiet)
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
