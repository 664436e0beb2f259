import { expect, test } from "vitest";

import { SpanQueue } from "./queue";
import type { SpanRecord } from "./span-record";

function record(name: string): SpanRecord {
  const ids = { traceId: "a".repeat(32), spanId: "b".repeat(16) };
  return { name, kind: "internal", ...ids, startedAt: 0, endedAt: 1, attributes: {}, failed: false };
}

function connected(queue: SpanQueue): string[] {
  const names: string[] = [];
  queue.connect(({ name }) => names.push(name));
  return names;
}

test("spans wait for the sink and keep their order", () => {
  const queue = new SpanQueue();
  queue.add(record("first"));
  queue.add(record("second"));
  const names = connected(queue);
  queue.add(record("third"));
  expect(names).toEqual(["first", "second", "third"]);
});

test("the number of waiting spans is limited", () => {
  const queue = new SpanQueue();
  for (let number = 0; number < 150; number += 1) queue.add(record(String(number)));
  const names = connected(queue);
  expect(names).toHaveLength(100);
  expect(names.at(-1)).toBe("99");
});

test("a closed queue discards its spans", () => {
  const queue = new SpanQueue();
  queue.add(record("waiting"));
  queue.close();
  queue.add(record("later"));
  expect(connected(queue)).toEqual([]);
  expect(queue.isClosed).toBe(true);
});
