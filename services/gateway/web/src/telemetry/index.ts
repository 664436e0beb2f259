/**
 * Trace context and spans of what the user does.
 *
 * The browser's span is the root of an action's trace. The SDK that exports spans is a separate chunk, which is loaded only
 * if the gateway accepts telemetry (`loadTelemetry`). Ids and times are created here, so that the first requests of the
 * page do not wait for the SDK. If nothing is exported, requests have no trace context, because the parents of the
 * gateway's spans would be missing. The gateway then begins the traces.
 */

import type { BrowserConfig } from "../config";
import type { NotificationFrame } from "../realtime/frames";
import { frameSpan } from "./frame-span";
import { SpanQueue } from "./queue";
import { isRecorded, isSameOrigin, requestSpan } from "./request-span";
import { toEpoch } from "./span-record";
import { createSpanId, createTraceId, formatTraceparent } from "./trace-context";

/** What a user did, for example `place order`. Its requests share its trace id. */
export interface Action {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Milliseconds on the clock of `performance.now()`. */
  readonly startedAt: number;
  end(status?: "ok" | "error"): void;
}

/** One HTTP request. `end` receives its status, or 0 if there was no response. */
export interface RequestSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** The header to send; undefined if the request must not carry trace context. */
  readonly traceparent: string | undefined;
  end(status: number): void;
}

const queue = new SpanQueue();
/** Functions that end the open spans when the user leaves the page. Otherwise the root spans of traces would be missing. */
const open = new Set<() => void>();

addEventListener("pagehide", () => {
  for (const endSpan of [...open]) endSpan();
});

/** Begin the root span of an action. It is exported when it ends, or when the page is left. */
export function startAction(name: string): Action {
  const traceId = createTraceId();
  const spanId = createSpanId();
  const startedAt = performance.now();
  const end = endOnce<"ok" | "error">("ok", (status) => {
    queue.add({
      name,
      kind: "internal",
      traceId,
      spanId,
      startedAt: toEpoch(startedAt),
      endedAt: toEpoch(performance.now()),
      attributes: {},
      failed: status === "error",
    });
  });
  return {
    name,
    traceId,
    spanId,
    startedAt,
    end: (status = "ok") => {
      end(status);
    },
  };
}

/** Begin the span of a request. Without an action it is the root of a trace. */
export function startRequest(action: Action | undefined, method: string, url: string): RequestSpan {
  const traceId = action?.traceId ?? createTraceId();
  const spanId = createSpanId();
  const startedAt = toEpoch(performance.now());
  if (queue.isClosed || !isRecorded(url) || !isSameOrigin(url, location)) {
    return { traceId, spanId, traceparent: undefined, end: () => undefined };
  }
  const end = endOnce(0, (status) => {
    const request = { method, url, traceId, spanId, parentSpanId: action?.spanId, startedAt };
    queue.add(requestSpan(request, status, toEpoch(performance.now())));
  });
  return { traceId, spanId, traceparent: formatTraceparent(traceId, spanId), end };
}

/** Record that a notification arrived. The span ends after the event handlers have shown the notification. */
export function recordFrame(frame: NotificationFrame): void {
  const startedAt = toEpoch(performance.now());
  setTimeout(() => {
    const record = frameSpan(frame, startedAt, toEpoch(performance.now()));
    if (record !== undefined) queue.add(record);
  });
}

/** Load the SDK and export all spans, or discard them if the gateway accepts none. */
export async function loadTelemetry(telemetry: BrowserConfig["telemetry"]): Promise<void> {
  if (!telemetry.enabled) {
    queue.close();
    return;
  }
  try {
    const { startExport } = await import("./sdk");
    queue.connect(startExport(telemetry));
  } catch {
    // The chunk could not be loaded. The shop works without telemetry.
    queue.close();
  }
}

/** Return a function that ends a span once. If the user leaves the page before, the span ends with `interrupted`. */
function endOnce<Value>(interrupted: Value, record: (value: Value) => void): (value: Value) => void {
  const end = (value: Value): void => {
    if (open.delete(interrupt)) record(value);
  };
  const interrupt = (): void => {
    end(interrupted);
  };
  open.add(interrupt);
  return end;
}
