/** A complete order for tests: the spans of docs/telemetry.md, and the requests and notifications around them. */

import type { ApiCall, ApiCallStart } from "../api/client";
import type { NotificationFrame } from "../realtime/frames";
import type { ReceivedFrame } from "./journey";
import type { TraceSpan } from "./trace";

export const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
export const REQUEST_ID = "00f067aa0ba902b7";

/** The clock of the server, in microseconds, at the time 0 of the browser's clock. */
const SERVER_EPOCH_US = 1_767_225_600_000_000;

/** Return a span of 1 ms at time 0, with these overrides. */
export function span(
  id: string,
  parent: string | null,
  service: string,
  name: string,
  overrides: Partial<TraceSpan> = {},
): TraceSpan {
  return {
    span_id: id,
    parent_span_id: parent,
    service,
    name,
    kind: "internal",
    start_us: SERVER_EPOCH_US,
    duration_us: 1_000,
    status: "unset",
    error: null,
    attributes: {},
    ...overrides,
  };
}

/** Return the times of a span. `start` is in milliseconds on the clock of the browser, `duration` in milliseconds. */
export function at(start: number, duration: number): Pick<TraceSpan, "start_us" | "duration_us"> {
  return { start_us: SERVER_EPOCH_US + start * 1_000, duration_us: duration * 1_000 };
}

/**
 * Return the spans of an order. The request begins at 10 ms and ends at 30 ms.
 *
 * Their ids begin with a letter for the service or the work: `g` gateway, `o` orders, `p` publish, `n` notifications,
 * `s` send, `w` workers, `j` job, `e` email, `c` call of a worker.
 */
export function orderSpans(): TraceSpan[] {
  const pack = "POST /internal/orders/{order_id}/pack";
  const ship = "POST /internal/orders/{order_id}/ship";
  const peer = { "service.peer.name": "orders" };
  return [
    span("root", null, "browser", "place order", at(10, 20)),
    span(REQUEST_ID, "root", "browser", "POST /v2/orders", { ...at(10, 20), kind: "client" }),
    span("g1", REQUEST_ID, "gateway", "POST /v2/orders", { ...at(12, 16), kind: "server" }),
    span("g2", "g1", "gateway", "POST /orders", { ...at(13, 14), kind: "client", attributes: peer }),
    span("o1", "g2", "orders", "POST /orders", { ...at(14, 12), kind: "server" }),
    span("p1", "o1", "orders", "publish events:orders", { ...at(28, 2), kind: "producer" }),
    span("n1", "p1", "notifications", "process events:orders", { ...at(31, 4), kind: "consumer" }),
    span("s1", "n1", "notifications", "send notification", { ...at(36, 1), kind: "producer" }),
    span("w1", "p1", "workers", "process events:orders", { ...at(32, 5), kind: "consumer" }),
    span("j1", "w1", "workers", "run send_order_email", { ...at(40, 30), kind: "consumer" }),
    span("e1", "j1", "workers", "SMTP send", { ...at(60, 8), kind: "client" }),
    span("j2", "w1", "workers", "run fulfil_order", { ...at(2_040, 30), kind: "consumer" }),
    span("c2", "j2", "workers", pack, { ...at(2_042, 20), kind: "client" }),
    span("o2", "c2", "orders", pack, { ...at(2_043, 18), kind: "server" }),
    span("p2", "o2", "orders", "publish events:orders", { ...at(2_063, 2), kind: "producer" }),
    span("n2", "p2", "notifications", "process events:orders", { ...at(2_066, 3), kind: "consumer" }),
    span("s2", "n2", "notifications", "send notification", { ...at(2_070, 1), kind: "producer" }),
    span("j3", "j2", "workers", "run fulfil_order", { ...at(4_080, 30), kind: "consumer" }),
    span("c3", "j3", "workers", ship, { ...at(4_082, 20), kind: "client" }),
    span("o3", "c3", "orders", ship, { ...at(4_083, 18), kind: "server" }),
    span("p3", "o3", "orders", "publish events:orders", { ...at(4_103, 2), kind: "producer" }),
    span("w3", "p3", "workers", "process events:orders", { ...at(4_107, 3), kind: "consumer" }),
    span("j4", "w3", "workers", "run send_order_email", { ...at(4_112, 20), kind: "consumer" }),
    span("e4", "j4", "workers", "SMTP send", { ...at(4_120, 8), kind: "client" }),
  ];
}

/** Return the request of the order with its response. */
export function orderCall(overrides: Partial<ApiCall> = {}): ApiCall {
  return {
    id: 1,
    method: "POST",
    url: "/v2/orders",
    status: 201,
    isAborted: false,
    startedAt: 10,
    duration: 20,
    traceId: TRACE_ID,
    spanId: REQUEST_ID,
    serverTiming: [
      { name: "orders", duration: 14, description: "" },
      { name: "total", duration: 16, description: "" },
    ],
    action: undefined,
    ...overrides,
  };
}

/** Return what is known about a request before its response. */
export function startOf({ id, method, url, startedAt, traceId, spanId, action }: ApiCall): ApiCallStart {
  return { id, method, url, startedAt, traceId, spanId, action };
}

/** Return a notification that arrived at this time, in milliseconds on the clock of the browser. */
export function frame(kind: string, receivedAt: number, traceId = TRACE_ID): ReceivedFrame {
  const fields = { t: "n", seq: 1, id: `event-${kind}`, data: {}, at: "2026-01-01T00:00:00Z" } as const;
  const received: NotificationFrame = { ...fields, kind, traceparent: `00-${traceId}-00f067aa0ba902b8-01` };
  return { frame: received, traceId, at: receivedAt };
}
