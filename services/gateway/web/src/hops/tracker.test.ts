import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { ApiCall, ApiCallStart } from "../api/client";
import { Emitter } from "../lib/emitter";
import type { NotificationFrame } from "../realtime/frames";
import type { Action } from "../telemetry";
import { hopsOf } from "./model";
import { frame, orderCall, orderSpans, REQUEST_ID, startOf, TRACE_ID } from "./testing";
import type { Trace } from "./trace";
import { Tracker } from "./tracker";

function action(name: string, traceId = TRACE_ID): Action {
  return { name, traceId, spanId: `${name}/${traceId}`, startedAt: 0, end: () => undefined };
}

/** A tracker with the events of a page, whose trace the test sets. */
class Page {
  readonly started = new Emitter<ApiCallStart>();
  readonly ended = new Emitter<ApiCall>();
  readonly notified = new Emitter<NotificationFrame>();
  trace: Trace | undefined;
  readonly readTrace = vi.fn(() => Promise.resolve(this.trace));
  canRead = true;
  readonly tracker = new Tracker({
    started: this.started,
    ended: this.ended,
    notified: this.notified,
    readTrace: this.readTrace,
    canRead: () => this.canRead,
  });
  #id = 0;

  /** Send a request and receive its response. */
  request(about: Action, overrides: Partial<ApiCall> = {}): void {
    this.#id += 1;
    const call = orderCall({ id: this.#id, traceId: about.traceId, action: about, ...overrides });
    this.started.emit(startOf(call));
    this.ended.emit(call);
  }

  /** Send a request that only reads, and receive its response. */
  read(about: Action): void {
    this.request(about, { method: "GET", url: "/v2/products" });
  }

  get shown(): string | undefined {
    return this.tracker.selected.value?.name;
  }

  get names(): string[] {
    return this.tracker.journeys.value.map(({ name }) => name);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the shown action", () => {
  test("is the last one", () => {
    const page = new Page();
    page.read(action("load catalog"));
    page.read(action("load product"));
    expect(page.shown).toBe("load product");
    expect(page.names).toEqual(["load product", "load catalog"]);
  });

  test("stays the order while its trace is polled, although later actions read", async () => {
    const page = new Page();
    page.request(action("place order"));
    page.read(action("load order", "b".repeat(32)));
    expect(page.shown).toBe("place order");
    await vi.advanceTimersByTimeAsync(61_000);
    page.read(action("load catalog", "c".repeat(32)));
    expect(page.shown).toBe("load catalog");
  });

  test("can be selected, until the user makes another change", () => {
    const page = new Page();
    const catalog = action("load catalog", "b".repeat(32));
    page.read(catalog);
    page.request(action("place order"));
    page.tracker.select(catalog.spanId);
    expect(page.shown).toBe("load catalog");
    page.request(action("cancel order", "c".repeat(32)));
    expect(page.shown).toBe("cancel order");
  });

  test("is one of the last five", () => {
    const page = new Page();
    for (let number = 0; number < 8; number += 1) page.read(action(`load ${number}`));
    expect(page.names).toEqual(["load 7", "load 6", "load 5", "load 4", "load 3"]);
  });

  test("is never a request without an action", () => {
    const page = new Page();
    page.started.emit(orderCall());
    page.ended.emit(orderCall());
    expect(page.names).toEqual([]);
  });
});

describe("evidence", () => {
  test("of the trace is polled until it is complete", async () => {
    const page = new Page();
    page.request(action("place order"), { spanId: REQUEST_ID });
    page.trace = { trace_id: TRACE_ID, spans: orderSpans().slice(0, 6), complete: false };
    await vi.advanceTimersByTimeAsync(1_000);
    expect(page.tracker.selected.value?.spans).toHaveLength(6);
    page.trace = { trace_id: TRACE_ID, spans: orderSpans(), complete: true };
    await vi.advanceTimersByTimeAsync(5_000);
    const journey = page.tracker.selected.value;
    expect(journey?.isOver).toBe(true);
    expect(journey && hopsOf(journey).every(({ state }) => state === "reached")).toBe(true);
    const reads = page.readTrace.mock.calls.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(page.readTrace).toHaveBeenCalledTimes(reads);
  });

  test("of a repeated request is polled after the trace of the rejected one was complete", async () => {
    const page = new Page();
    const order = action("place order");
    page.trace = { trace_id: TRACE_ID, spans: [], complete: true };
    page.request(order, { status: 503 });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(page.tracker.selected.value?.isOver).toBe(true);
    page.trace = { trace_id: TRACE_ID, spans: orderSpans(), complete: true };
    page.request(order, { spanId: REQUEST_ID });
    expect(page.tracker.selected.value?.isOver).toBe(false);
    await vi.advanceTimersByTimeAsync(5_000);
    const journey = page.tracker.selected.value;
    expect(journey?.isOver).toBe(true);
    expect(journey && hopsOf(journey).every(({ state }) => state === "reached")).toBe(true);
  });

  test("of a repeated request with another trace replaces the evidence of the rejected one", async () => {
    const page = new Page();
    const order = action("place order");
    const other = "f".repeat(32);
    page.trace = { trace_id: TRACE_ID, spans: orderSpans(), complete: false };
    page.request(order, { status: 503 });
    await vi.advanceTimersByTimeAsync(1_000);
    page.trace = { trace_id: other, spans: orderSpans().slice(0, 2), complete: false };
    page.request(order, { traceId: other });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(page.readTrace).toHaveBeenLastCalledWith(other, expect.anything());
    expect(page.tracker.selected.value?.spans).toHaveLength(2);
  });

  test("of notifications reaches the action of the same trace, also before the response", () => {
    const page = new Page();
    const order = action("place order");
    const call = orderCall({ action: order });
    page.started.emit(startOf(call));
    page.notified.emit(frame("order.placed", 0).frame);
    page.ended.emit(call);
    const push = page.tracker.selected.value && hopsOf(page.tracker.selected.value).find(({ id }) => id === "push");
    expect(push?.state).toBe("reached");
  });

  test("includes notifications that arrived before a response that names their trace", () => {
    const page = new Page();
    page.notified.emit(frame("order.placed", 0).frame);
    page.request(action("place order", "f".repeat(32)), { traceId: TRACE_ID });
    expect(page.tracker.selected.value?.frames).toHaveLength(1);
  });

  test("is not polled if traces cannot be read", async () => {
    const page = new Page();
    page.canRead = false;
    page.request(action("place order"));
    await vi.advanceTimersByTimeAsync(10_000);
    expect(page.readTrace).not.toHaveBeenCalled();
    expect(page.tracker.selected.value?.isOver).toBe(true);
  });

  test("of removed actions is not polled", async () => {
    const page = new Page();
    for (let number = 0; number < 6; number += 1) page.read(action(`load ${number}`));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(page.readTrace).toHaveBeenCalledTimes(5);
  });
});
