import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { pollTrace, type PollingDependencies } from "./polling";
import type { Trace } from "./trace";

const TRACE: Trace = { trace_id: "a".repeat(32), spans: [], complete: false };

function dependencies() {
  const read = vi.fn<PollingDependencies["read"]>(() => Promise.resolve(TRACE));
  return { read, onTrace: vi.fn(), isDone: vi.fn(() => false), onEnd: vi.fn() };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("the trace is read after a second, then with growing pauses, for at most a minute", async () => {
  const polling = dependencies();
  const readAt: number[] = [];
  polling.read.mockImplementation(() => {
    readAt.push(performance.now());
    return Promise.resolve(TRACE);
  });
  pollTrace(TRACE.trace_id, polling);
  await vi.advanceTimersByTimeAsync(999);
  expect(polling.read).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(polling.read).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(59_000);
  const pauses = readAt.slice(1).map((time, index) => Math.round(time - (readAt[index] ?? 0)));
  expect(pauses.slice(0, 3)).toEqual([1_300, 1_690, 2_197]);
  expect(pauses.at(-1)).toBe(5_000);
  expect(polling.onEnd).toHaveBeenCalledTimes(1);
  const reads = polling.read.mock.calls.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(polling.read).toHaveBeenCalledTimes(reads);
});

test("polling ends when isDone returns true", async () => {
  const polling = dependencies();
  polling.isDone.mockReturnValue(true);
  pollTrace(TRACE.trace_id, polling);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(polling.onTrace).toHaveBeenCalledExactlyOnceWith(TRACE);
  expect(polling.onEnd).toHaveBeenCalledTimes(1);
});

test("a read that fails or returns nothing is repeated", async () => {
  const polling = dependencies();
  const { read } = polling;
  read.mockRejectedValueOnce(new Error("503"));
  read.mockResolvedValueOnce(undefined);
  pollTrace(TRACE.trace_id, polling);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(read).toHaveBeenCalledTimes(3);
  expect(polling.onTrace).toHaveBeenCalledTimes(1);
});

test("nothing is reported when polling is stopped during a read", async () => {
  const polling = dependencies();
  let respond = (_: Trace): void => undefined;
  polling.read.mockReturnValueOnce(
    new Promise((resolve) => {
      respond = resolve;
    }),
  );
  const stop = pollTrace(TRACE.trace_id, polling);
  await vi.advanceTimersByTimeAsync(1_000);
  stop();
  respond(TRACE);
  await vi.advanceTimersByTimeAsync(120_000);
  expect(polling.read).toHaveBeenCalledTimes(1);
  expect(polling.onTrace).not.toHaveBeenCalled();
  expect(polling.isDone).not.toHaveBeenCalled();
  expect(polling.onEnd).not.toHaveBeenCalled();
});

test("nothing is read or reported after polling was stopped", async () => {
  const polling = dependencies();
  const stop = pollTrace(TRACE.trace_id, polling);
  await vi.advanceTimersByTimeAsync(1_000);
  stop();
  await vi.advanceTimersByTimeAsync(120_000);
  expect(polling.read).toHaveBeenCalledTimes(1);
  expect(polling.onEnd).not.toHaveBeenCalled();
});
