import { expect, test } from "vitest";

import { SpanQueue } from "./queue";
import type { SpanRecord } from "./span-record";

function record(name: string): SpanRecord {
  const ids = { traceId: "a".repeat(32), spanId: "b".repeat(16) };
  return { name, kind: "internal", ...ids, startedAt: 0, endedAt: 1, attributes: {}, failed: false };
}

/** Connect a sink to the queue, and return the names of the spans that it receives. The array grows with each one. */
function connectSink(queue: SpanQueue): string[] {
  const names: string[] = [];
  queue.connect(({ name }) => names.push(name));
  return names;
}

test("spans wait for the sink and keep their order", () => {
  const queue = new SpanQueue();
  queue.add(record("first"));
  queue.add(record("second"));
  const names = connectSink(queue);
  queue.add(record("third"));
  expect(names).toEqual(["first", "second", "third"]);
});

test("further spans are dropped if the limit of waiting spans is reached", () => {
  const queue = new SpanQueue();
  const limit = 100;
  for (let number = 0; number < limit + 50; number += 1) queue.add(record(String(number)));
  const names = connectSink(queue);
  expect(names).toHaveLength(limit);
  expect(names.at(-1)).toBe(String(limit - 1));
});

test("a closed queue discards its spans", () => {
  const queue = new SpanQueue();
  queue.add(record("waiting"));
  queue.close();
  queue.add(record("later"));
  expect(connectSink(queue)).toEqual([]);
  expect(queue.isClosed).toBe(true);
});
