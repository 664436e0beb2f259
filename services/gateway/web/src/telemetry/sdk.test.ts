import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { InMemorySpanExporter } from "@opentelemetry/sdk-trace-web";
import { expect, test } from "vitest";

import { SpanRecorder } from "./sdk";
import type { SpanRecord } from "./span-record";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const FIRST_BATCH = 50;
const MAX_QUEUED = 256;
const ROOT: SpanRecord = {
  name: "place order",
  kind: "internal",
  traceId: TRACE,
  spanId: "a".repeat(16),
  startedAt: 1_767_225_600_000,
  endedAt: 1_767_225_600_250,
  attributes: {},
  failed: false,
};
const CHILD: SpanRecord = {
  ...ROOT,
  name: "POST /v2/orders",
  kind: "client",
  spanId: "b".repeat(16),
  parentSpanId: ROOT.spanId,
  attributes: { "http.response.status_code": 503 },
  failed: true,
};

test("spans are exported with the ids and times of their records", async () => {
  const exporter = new InMemorySpanExporter();
  const recorder = new SpanRecorder(exporter);
  recorder.record(CHILD);
  recorder.record(ROOT);
  await recorder.flush();
  const [child, root] = exporter.getFinishedSpans();
  expect(root?.spanContext()).toMatchObject({ traceId: TRACE, spanId: ROOT.spanId, traceFlags: 1 });
  expect(root?.parentSpanContext).toBeUndefined();
  expect(root?.startTime).toEqual([1_767_225_600, 0]);
  expect(root?.duration).toEqual([0, 250_000_000]);
  expect(root?.resource.attributes["service.name"]).toBe("browser");
  expect(child?.kind).toBe(SpanKind.CLIENT);
  expect(child?.spanContext()).toMatchObject({ traceId: TRACE, spanId: CHILD.spanId });
  expect(child?.parentSpanContext?.spanId).toBe(ROOT.spanId);
  expect(child?.status.code).toBe(SpanStatusCode.ERROR);
  expect(child?.attributes).toEqual(CHILD.attributes);
});

test("spans beyond the queue's limit are dropped", async () => {
  const exporter = new InMemorySpanExporter();
  const recorder = new SpanRecorder({
    // The first export never ends, so all later spans wait.
    export: (spans, done) => {
      if (exporter.getFinishedSpans().length > 0) exporter.export(spans, done);
      else exporter.export(spans, () => undefined);
    },
    shutdown: () => Promise.resolve(),
  });
  for (let number = 0; number < 1_000; number += 1) recorder.record(ROOT);
  void recorder.flush();
  await expect.poll(() => exporter.getFinishedSpans().length).toBe(FIRST_BATCH + MAX_QUEUED);
});
