"""`make trace ID=…`: prints one trace as a tree, with log records under their spans."""

import re

import httpx
from rich.console import Console

from console.backends import MAX_LOG_RECORDS, Backends
from console.drawing import print_tree
from console.failures import FailedError
from console.stack import Stack

_TRACE_ID = re.compile(r"[0-9a-f]{16,32}", re.IGNORECASE | re.ASCII)
_TIMEOUT_SECONDS = 10.0


async def print_trace(trace_id: str, *, stack: Stack, console: Console) -> None:
    """Print the trace and the address of its page. Raises FailedError if the trace does not exist."""
    if not _TRACE_ID.fullmatch(trace_id):
        raise FailedError(f"{trace_id!r} is not a trace id: expected 16 to 32 hexadecimal digits")
    async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        backends = Backends(stack=stack, client=client)
        tree = await backends.get_tree(trace_id)
        if tree is None:
            raise FailedError(
                f"no trace {trace_id} at {stack.jaeger}: it was not sampled, is not exported yet, or was evicted"
            )
        log_records = await backends.get_log_records(tree)
    print_tree(tree, console, log_records=log_records)
    if sum(map(len, log_records.values())) >= MAX_LOG_RECORDS:
        console.print(f"only the first {MAX_LOG_RECORDS:,} log records are shown; there may be more", style="yellow")
    console.print(f"\n{stack.trace_page(tree.trace_id)}", style="dim", markup=False, soft_wrap=True)
