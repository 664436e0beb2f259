/** Reads a trace repeatedly until no more spans are expected. */

import type { Trace } from "./trace";

export interface PollingDependencies {
  /** Return the trace as it is now, or undefined if it cannot be read now. */
  readonly read: (traceId: string, signal: AbortSignal) => Promise<Trace | undefined>;
  readonly onTrace: (trace: Trace) => void;
  /** Whether all evidence has arrived. Called after each response. */
  readonly isDone: () => boolean;
  readonly onEnd: () => void;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 5_000;
const GROWTH = 1.3;
const TIMEOUT_MS = 60_000;

/** Poll until `isDone`, for at most a minute. Return a function that stops it. */
export function pollTrace(traceId: string, dependencies: PollingDependencies): () => void {
  const controller = new AbortController();
  void poll(traceId, dependencies, controller.signal);
  return () => {
    controller.abort();
  };
}

async function poll(traceId: string, dependencies: PollingDependencies, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS;
  for (let pause = FIRST_PAUSE_MS; performance.now() + pause < deadline; pause = Math.min(pause * GROWTH, LONGEST_PAUSE_MS)) {
    await sleep(pause, signal);
    if (isAborted(signal)) return;
    const trace = await dependencies.read(traceId, signal).catch(() => undefined);
    if (isAborted(signal)) return;
    if (trace !== undefined) dependencies.onTrace(trace);
    if (dependencies.isDone()) break;
  }
  dependencies.onEnd();
}

/** A function, because the compiler assumes that the property does not change during an await. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
