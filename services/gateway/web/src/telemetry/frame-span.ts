/** The span of a notification that reaches the page. */

import type { NotificationFrame } from "../realtime/frames";
import { createSpanId, parseTraceparent } from "./trace-context";
import type { SpanRecord } from "./span-record";

const RECEIVE = "receive notification";

/**
 * Return the CONSUMER span of a frame, or undefined if its trace is not recorded.
 *
 * Its parent is the span that sent the frame, so it belongs to the trace of the order that caused the notification.
 */
export function frameSpan(frame: NotificationFrame, startedAt: number, endedAt: number): SpanRecord | undefined {
  const parent = parseTraceparent(frame.traceparent);
  if (parent?.sampled !== true) return undefined;
  return {
    name: RECEIVE,
    kind: "consumer",
    traceId: parent.traceId,
    spanId: createSpanId(),
    parentSpanId: parent.spanId,
    startedAt,
    endedAt,
    attributes: {
      "messaging.system": "websocket",
      "messaging.operation.name": "receive",
      "messaging.operation.type": "receive",
      "messaging.message.id": frame.id,
      "hopline.notification.kind": frame.kind,
      "hopline.notification.seq": frame.seq,
    },
    failed: false,
  };
}
