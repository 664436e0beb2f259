import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { ApiCall, ApiCallStart } from "../api/client";
import { Emitter } from "../lib/emitter";
import type { NotificationFrame } from "../realtime/frames";
import type { Action } from "../telemetry";
import { Panel } from "./panel";
import { frame, orderCall, orderSpans, TRACE_ID } from "./testing";
import { Tracker } from "./tracker";

const ACTION: Action = { name: "place order", traceId: TRACE_ID, spanId: "1", startedAt: 5, end: () => undefined };

let root: HTMLElement;
let started: Emitter<ApiCallStart>;
let ended: Emitter<ApiCall>;
let notified: Emitter<NotificationFrame>;
let isComplete: boolean;
/** Whether the server responds with traces. */
let canRead: boolean;

beforeEach(async () => {
  vi.useFakeTimers();
  localStorage.clear();
  root = document.createElement("div");
  document.body.append(root);
  started = new Emitter();
  ended = new Emitter();
  notified = new Emitter();
  isComplete = true;
  canRead = true;
  const readTrace = (traceId: string): Promise<object> => {
    if (!canRead) return Promise.reject(new Error("503"));
    const spans = traceId === TRACE_ID ? orderSpans() : orderSpans().slice(0, 3);
    return Promise.resolve({ trace_id: traceId, spans, complete: isComplete });
  };
  const tracker = new Tracker({ started, ended, notified, readTrace: readTrace as never, canRead: () => true });
  await act(() => {
    render(<Panel tracker={tracker} />, root);
  });
});

afterEach(() => {
  render(null, root);
  root.remove();
  vi.useRealTimers();
});

/** Emit the response to the order, and let the page poll the trace for this time. */
async function placeOrder(milliseconds: number): Promise<void> {
  await act(async () => {
    ended.emit(orderCall({ action: ACTION }));
    await vi.advanceTimersByTimeAsync(milliseconds);
  });
}

async function wait(milliseconds: number): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(milliseconds);
  });
}

function hop(id: string): HTMLElement {
  const found = root.querySelector<HTMLElement>(`[data-hop="${id}"]`);
  if (found === null) throw new Error(`the panel has no hop "${id}"`);
  return found;
}

function rows(): HTMLButtonElement[] {
  return [...root.querySelectorAll<HTMLButtonElement>(".waterfall-row")];
}

async function press(key: string): Promise<void> {
  await act(() => {
    document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  });
}

describe("the hops", () => {
  test("are an ordered list in which each shows its state in words", async () => {
    await placeOrder(0);
    expect(root.querySelectorAll("ol.hop-list > li")).toHaveLength(11);
    expect(hop("gateway").textContent).toContain("+25.0 ms");
    expect(hop("outbox").textContent).toContain("waiting");
  });

  test("are reached when their evidence arrives", async () => {
    await placeOrder(0);
    await act(() => {
      notified.emit(frame("order.placed", 0).frame);
    });
    expect(hop("push").dataset.state).toBe("reached");
    expect(hop("packed").dataset.state).toBe("waiting");
  });

  test("are summarised in a polite live region, some time after the last change", async () => {
    const status = root.querySelector('[role="status"]');
    const firstReadMs = 1_000;
    const delayMs = 1_500;
    await placeOrder(firstReadMs - 100);
    expect(status?.textContent).toBe("");
    await wait(1_000); // reads the trace, which changes the hops
    await wait(delayMs + 100);
    expect(status?.getAttribute("aria-live")).toBe("polite");
    expect(status?.textContent).toBe("place order: 11 of 11 hops reached. Nothing more is expected.");
  });

  test("can be hidden, and the choice is stored", async () => {
    await placeOrder(0);
    const button = root.querySelector<HTMLButtonElement>("[aria-controls=hops-content]");
    await act(() => {
      button?.click();
    });
    expect(button?.getAttribute("aria-expanded")).toBe("false");
    expect(root.querySelector<HTMLElement>("#hops-content")?.hidden).toBe(true);
    expect(localStorage.getItem("hopline.hops-hidden")).toBe("true");
  });
});

describe("the waterfall", () => {
  test("appears when the trace is complete", async () => {
    await placeOrder(0);
    expect(rows()).toHaveLength(0);
    await wait(2_000);
    expect(rows()).toHaveLength(orderSpans().length);
  });

  test("is one stop of the Tab key, and arrow keys move through its rows", async () => {
    await placeOrder(2_000);
    expect(rows().filter(({ tabIndex }) => tabIndex === 0)).toHaveLength(1);
    rows()[0]?.focus();
    await press("ArrowDown");
    await press("ArrowDown");
    expect(document.activeElement).toBe(rows()[2]);
    await press("ArrowLeft");
    expect(document.activeElement).toBe(rows()[1]);
    await press("End");
    expect(document.activeElement).toBe(rows().at(-1));
    await press("Home");
    expect(document.activeElement).toBe(rows()[0]);
    expect(rows().filter(({ tabIndex }) => tabIndex === 0)).toEqual([rows()[0]]);
  });

  test("of another action begins at its first row", async () => {
    await placeOrder(2_000);
    rows()[0]?.focus();
    await press("End");
    const other = { ...ACTION, name: "load orders", traceId: "b".repeat(32), spanId: "2" };
    await act(async () => {
      ended.emit(orderCall({ id: 2, method: "GET", url: "/v2/orders", traceId: other.traceId, action: other }));
      await vi.advanceTimersByTimeAsync(2_000);
    });
    expect(rows()).toHaveLength(3);
    expect(rows().filter(({ tabIndex }) => tabIndex === 0)).toEqual([rows()[0]]);
  });

  test("of a trace that stays incomplete is marked as incomplete", async () => {
    isComplete = false;
    await placeOrder(60_000);
    expect(rows()).toHaveLength(orderSpans().length);
    expect(root.textContent).toContain("The trace is not complete");
  });

  test("of a trace that cannot be read is replaced by a text about the missing spans", async () => {
    canRead = false;
    await placeOrder(60_000);
    expect(rows()).toHaveLength(0);
    expect(root.textContent).toContain("No spans have arrived.");
  });

  test("shows the attributes of a row after ArrowRight, and hides them after ArrowLeft", async () => {
    await placeOrder(2_000);
    rows()[3]?.focus();
    await press("ArrowRight");
    expect(rows()[3]?.getAttribute("aria-expanded")).toBe("true");
    const attributes = root.querySelector(".waterfall-attributes");
    expect(attributes?.textContent).toContain("service.peer.nameorders");
    expect(attributes?.textContent).toContain("parentgateway POST /v2/orders");
    await press("ArrowLeft");
    expect(root.querySelector(".waterfall-attributes")).toBeNull();
  });
});
