import { describe, expect, test } from "vitest";

import { beginJourney, withCall, withFrame, withTrace, type Journey } from "./journey";
import { allHopsResolved, hopsOf, type Hop } from "./model";
import { at, frame, orderCall, orderSpans, REQUEST_ID, span, startOf, TRACE_ID } from "./testing";
import type { TraceSpan } from "./trace";

const ORDER_HOPS = [
  "browser",
  "gateway",
  "upstream-0",
  "outbox",
  "notifications-consumer",
  "push",
  "workers-consumer",
  "job",
  "email",
  "packed",
  "shipped",
];

/** The action begins at 5 ms, so a hop at 30 ms on the clock of the browser is at 25 ms of the action. */
const begun = beginJourney("1", "place order", TRACE_ID, 5);
const responded = withCall(begun, orderCall());

function traced(journey: Journey, spans: readonly TraceSpan[], complete = false): Journey {
  return withTrace(journey, { trace_id: TRACE_ID, spans, complete });
}

function hop(journey: Journey, id: string): Hop {
  const found = hopsOf(journey).find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`the journey has no hop "${id}"`);
  return found;
}

function states(journey: Journey): Record<string, string> {
  return Object.fromEntries(hopsOf(journey).map(({ id, state }) => [id, state]));
}

/** Return the spans of the order, with changes by the id of the span. */
function changedSpans(changes: Readonly<Record<string, Partial<TraceSpan>>>): TraceSpan[] {
  return orderSpans().map((original) => ({ ...original, ...changes[original.span_id] }));
}

describe("an order", () => {
  test("has no hops before its request is sent", () => {
    expect(hopsOf(begun)).toEqual([]);
    expect(allHopsResolved([])).toBe(false);
  });

  test("waits at the gateway after its request is sent", () => {
    const journey = withCall(begun, startOf(orderCall()));
    expect(hop(journey, "browser")).toMatchObject({ state: "reached", at: 5 });
    expect(hop(journey, "gateway").state).toBe("waiting");
    expect(hop(journey, "upstream")).toMatchObject({ state: "waiting", label: "Upstream calls" });
    expect(hop(journey, "shipped").state).toBe("waiting");
  });

  test("reaches the gateway and its upstream calls with the response", () => {
    expect(hop(responded, "gateway")).toMatchObject({ state: "reached", source: "response", at: 25, duration: 16 });
    expect(hop(responded, "upstream-0")).toMatchObject({ state: "reached", label: "Call of orders", duration: 14 });
    expect(hop(responded, "outbox").state).toBe("waiting");
  });

  test("reaches only the hops that notifications prove", () => {
    const journey = withFrame(responded, frame("order.placed", 45));
    expect(hop(journey, "push")).toMatchObject({ state: "reached", source: "notification", at: 40 });
    expect(hop(journey, "outbox").state).toBe("waiting");
    expect(hop(journey, "packed").state).toBe("waiting");
  });

  test("reaches every hop when all evidence has arrived", () => {
    const frames = [frame("order.placed", 40), frame("order.packed", 2_075), frame("order.shipped", 4_115)];
    const journey = frames.reduce(withFrame, traced(responded, orderSpans(), true));
    const hops = hopsOf(journey);
    expect(hops.map(({ id }) => id)).toEqual(ORDER_HOPS);
    expect(new Set(hops.map(({ state }) => state))).toEqual(new Set(["reached"]));
    expect(allHopsResolved(hops)).toBe(true);
    expect(hop(journey, "packed").at).toBe(2_070);
  });

  test("uses the first email and job of the trace, not those of the shipment", () => {
    const journey = traced(responded, orderSpans());
    expect(hop(journey, "email").at).toBe(63);
    expect(hop(journey, "job").duration).toBe(30);
    expect(hop(journey, "outbox").at).toBe(25);
  });
});

describe("notifications", () => {
  test("of another trace prove nothing", () => {
    const journey = withFrame(responded, frame("order.placed", 45, "f".repeat(32)));
    expect(hop(journey, "push").state).toBe("waiting");
  });

  test("that arrive twice count once, with the first time", () => {
    const twice = [frame("order.placed", 40), frame("order.placed", 900)].reduce(withFrame, responded);
    expect(twice.frames).toHaveLength(1);
    expect(hop(twice, "push").at).toBe(35);
  });

  test("may arrive before the response", () => {
    const early = withFrame(begun, frame("order.placed", 28));
    expect(hop(withCall(early, orderCall()), "push")).toMatchObject({ state: "reached", at: 23 });
  });

  test("that this page did not receive are proven by their span", () => {
    expect(hop(traced(responded, orderSpans()), "push")).toMatchObject({ state: "reached", source: "span", at: 32 });
  });
});

describe("failures", () => {
  test("a rejected order has a reason, and the later hops are not reached", () => {
    const journey = withCall(begun, orderCall({ status: 409 }));
    expect(hop(journey, "gateway")).toMatchObject({ state: "failed", reason: "status 409" });
    expect(hop(journey, "shipped")).toMatchObject({ state: "waiting", reason: "not reached" });
    expect(allHopsResolved(hopsOf(journey))).toBe(true);
  });

  test("the reason of a rejected order includes the problem, which is in a span", () => {
    const server = span("g1", REQUEST_ID, "gateway", "POST /v2/orders", { kind: "server" });
    const attributes = { "http.response.status_code": 409, "hopline.problem": "out-of-stock" };
    const rejecting = span("o1", "g1", "orders", "POST /orders", { kind: "SERVER", attributes });
    const journey = traced(withCall(begun, orderCall({ status: 409 })), [server, rejecting]);
    expect(hop(journey, "gateway").reason).toBe("status 409 out-of-stock");
  });

  test("a lost response is a failure of the gateway, and later hops still wait for evidence", () => {
    const journey = withCall(begun, orderCall({ status: 0, serverTiming: [] }));
    expect(hop(journey, "gateway")).toMatchObject({ state: "failed", reason: "no response" });
    expect(hop(journey, "packed").reason).toBeUndefined();
    expect(states(traced(journey, orderSpans()))).toMatchObject({ outbox: "reached", shipped: "reached" });
  });

  test("a request that the page aborted was not failed by the gateway", () => {
    const journey = withCall(begun, orderCall({ status: 0, isAborted: true, serverTiming: [] }));
    expect(hop(journey, "gateway")).toMatchObject({ state: "failed", reason: "aborted by the page" });
  });

  test("a failed upstream call has a reason", () => {
    const spans = changedSpans({ g2: { status: "error", error: "ReadTimeout" } });
    const journey = traced(withCall(begun, orderCall({ status: 504 })), spans);
    expect(hop(journey, "upstream-0")).toMatchObject({ state: "failed", reason: "ReadTimeout" });
  });

  test("a retried upstream call has its number of attempts", () => {
    const serverTiming = [{ name: "orders", duration: 14, description: "2 attempts" }];
    expect(hop(withCall(begun, orderCall({ serverTiming })), "upstream-0").reason).toBe("2 attempts");
  });

  test("a job is failed until an attempt succeeds", () => {
    const failed = { status: "error", error: "DependencyUnavailableError: 503" };
    const first = changedSpans({ j1: failed }).filter(({ span_id }) => !["e1", "j4", "e4", "w3"].includes(span_id));
    expect(hop(traced(responded, first), "job")).toMatchObject({
      state: "failed",
      reason: "1 failed attempt, the last one: DependencyUnavailableError: 503",
    });
    const second = span("j1b", "w1", "workers", "run send_order_email", at(1_040, 30));
    const email = span("e1b", "j1b", "workers", "SMTP send", at(1_050, 8));
    const journey = traced(responded, [...first, second, email]);
    expect(hop(journey, "job")).toMatchObject({ state: "reached", reason: "after 1 failed attempt", at: 1_065 });
    expect(hop(journey, "email").state).toBe("reached");
  });

  test("an email whose first attempt failed is reached by the next attempt", () => {
    const second = [
      span("j1b", "w1", "workers", "run send_order_email", at(1_040, 30)),
      span("e1b", "j1b", "workers", "SMTP send", at(1_050, 8)),
    ];
    const failed = { status: "error", error: "SMTPServerDisconnected" };
    const journey = traced(responded, [...changedSpans({ j1: failed, e1: failed }), ...second]);
    expect(hop(journey, "email")).toMatchObject({ state: "reached", reason: "after 1 failed attempt" });
  });

  test("an attempt at packing that orders rejects is counted once, although two services record its failure", () => {
    const failed = { status: "error", attributes: { "http.response.status_code": 503 } };
    const endOfAttempt = orderSpans().findIndex(({ span_id }) => span_id === "p2");
    const spans = changedSpans({ c2: failed, o2: failed }).slice(0, endOfAttempt);
    expect(hop(traced(responded, spans), "packed")).toMatchObject({
      state: "failed",
      reason: "1 failed attempt, the last one: 503",
    });
  });

  test("packing is failed until an attempt succeeds", () => {
    const failed = { status: "error", error: null, attributes: { "error.type": "503" } };
    const indexOfPacking = orderSpans().findIndex(({ span_id }) => span_id === "o2");
    const spans = changedSpans({ j2: { status: "error" }, c2: failed }).slice(0, indexOfPacking);
    expect(hop(traced(responded, spans), "packed")).toMatchObject({
      state: "failed",
      reason: "1 failed attempt, the last one: 503",
    });
    const journey = withFrame(traced(responded, spans), frame("order.packed", 3_000));
    expect(hop(journey, "packed")).toMatchObject({ state: "reached", reason: "after 1 failed attempt" });
  });
});

describe("other actions", () => {
  test("the hops of a page with several requests are those of the first one", () => {
    const timing = ["users", "orders", "notifications"].map((name) => ({ name, duration: 3, description: "" }));
    const call = orderCall({ method: "GET", url: "/v2/dashboard", status: 200, serverTiming: timing });
    const journey = withCall(withCall(begun, call), orderCall({ id: 2, method: "GET", url: "/v2/orders", startedAt: 50 }));
    const hops = hopsOf(journey);
    expect(hops.map(({ label }) => label)).toEqual([
      "Request of the browser",
      "Gateway",
      "Call of users",
      "Call of orders",
      "Call of notifications",
    ]);
  });

  test("the hops of a repeated request are those of its last attempt", () => {
    const journey = withCall(withCall(begun, orderCall({ status: 503 })), orderCall({ id: 2, startedAt: 1_000 }));
    expect(hop(journey, "gateway")).toMatchObject({ state: "reached", at: 1_015 });
    expect(hop(journey, "browser").reason).toBe("sent 2 times");
  });

  test("the last hop of a report is its notification", () => {
    const call = orderCall({ url: "/v2/reports", status: 202 });
    expect(hopsOf(withCall(begun, call)).map(({ id }) => id).slice(3)).toEqual(["outbox", "workers-consumer", "job", "push"]);
  });
});

describe("the clocks of browser and server", () => {
  test("are aligned by the gateway's span", () => {
    const hourUs = 3_600_000_000;
    const skewed = orderSpans().map((original) => ({ ...original, start_us: original.start_us + hourUs }));
    expect(hop(traced(responded, skewed), "outbox").at).toBe(25);
  });

  test("are aligned by the first span, at the start of the request, if the gateway's span is missing", () => {
    const journey = traced(responded, [span("p1", "o1", "orders", "publish events:orders", at(28, 2))]);
    expect(hop(journey, "outbox").at).toBe(7);
  });
});

describe("traces", () => {
  test("of another id are ignored", () => {
    expect(withTrace(responded, { trace_id: "f".repeat(32), spans: orderSpans(), complete: true })).toBe(responded);
  });

  test("are not replaced by earlier ones with fewer spans", () => {
    const full = traced(responded, orderSpans());
    expect(traced(full, orderSpans().slice(0, 3))).toBe(full);
  });

  test("have the id of the first request's response if several requests began at the same time", () => {
    const read = (id: number) =>
      orderCall({ id, method: "GET", url: `/v2/products/${id}`, startedAt: 1, traceId: `${id}`.repeat(32) });
    const calls = [1, 2, 1, 2].map(read);
    const ended = calls.reduce(withCall, begun);
    expect(ended.calls.map(({ id }) => id)).toEqual([1, 2]);
    expect(ended.traceId).toBe("1".repeat(32));
  });

  test("have the id of the response if the page sent no trace context", () => {
    const gatewayTraceId = "e".repeat(32);
    const journey = withCall(begun, orderCall({ traceId: gatewayTraceId }));
    expect(hop(withFrame(journey, frame("order.placed", 40, gatewayTraceId)), "push").state).toBe("reached");
  });
});
