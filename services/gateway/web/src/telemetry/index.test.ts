import { beforeEach, describe, expect, test, vi } from "vitest";

import type { SpanRecord } from "./span-record";

type Telemetry = typeof import("./index");

const DISABLED = { enabled: false, traces_url: "", metrics_url: "" };

let telemetry: Telemetry;

beforeEach(async () => {
  vi.resetModules();
  telemetry = await import("./index");
});

describe("trace context", () => {
  test("of a request has the trace of its action and the span of the request, and is sampled", () => {
    const action = telemetry.startAction("place order");
    const request = telemetry.startRequest(action, "POST", "/v2/orders");
    expect(request.traceId).toBe(action.traceId);
    expect(request.spanId).not.toBe(action.spanId);
    expect(request.traceparent).toBe(`00-${action.traceId}-${request.spanId}-01`);
  });

  test("of a request without an action begins a new trace", () => {
    const [one, other] = [1, 2].map(() => telemetry.startRequest(undefined, "GET", "/v2/products"));
    expect(one?.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(one?.traceId).not.toBe(other?.traceId);
  });

  test.each(["https://elsewhere.example/v2/orders", "//elsewhere.example/v2/orders", "/browser/resilience"])(
    "is not sent to %s",
    (url) => {
      expect(telemetry.startRequest(telemetry.startAction("load"), "GET", url).traceparent).toBeUndefined();
    },
  );

  test("is not sent if nothing is exported", async () => {
    await telemetry.loadTelemetry(DISABLED);
    const request = telemetry.startRequest(telemetry.startAction("load"), "GET", "/v2/products");
    expect(request.traceparent).toBeUndefined();
    expect(request.traceId).toMatch(/^[0-9a-f]{32}$/);
  });
});

describe("spans", () => {
  const ENABLED = { enabled: true, traces_url: "/traces", metrics_url: "/metrics" };
  let names: string[];

  beforeEach(async () => {
    names = [];
    vi.doMock("./sdk", () => ({ startExport: () => (record: SpanRecord) => names.push(record.name) }));
    await telemetry.loadTelemetry(ENABLED);
  });

  test("of an action and its request are exported when the page is left", () => {
    const action = telemetry.startAction("place order");
    telemetry.startRequest(action, "POST", "/v2/orders");
    dispatchEvent(new Event("pagehide"));
    expect(names).toEqual(["place order", "POST /v2/orders"]);
  });

  test("that have ended are exported once", () => {
    const action = telemetry.startAction("place order");
    action.end();
    action.end("error");
    dispatchEvent(new Event("pagehide"));
    expect(names).toEqual(["place order"]);
  });
});
