import { expect, test } from "vitest";

import type { NotificationFrame } from "../realtime/frames";
import { frameSpan } from "./frame-span";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SENDING_SPAN = "00f067aa0ba902b7";

function frame(traceparent?: string): NotificationFrame {
  const fields = { t: "n", seq: 7, id: "c2a1", kind: "order.placed", data: {}, at: "2026-01-01T00:00:00Z" } as const;
  return traceparent === undefined ? fields : { ...fields, traceparent };
}

test("the span is a CONSUMER child of the span that sent the frame", () => {
  const span = frameSpan(frame(`00-${TRACE}-${SENDING_SPAN}-01`), 1_000, 1_004);
  expect(span).toMatchObject({
    name: "receive notification",
    kind: "consumer",
    traceId: TRACE,
    parentSpanId: SENDING_SPAN,
    startedAt: 1_000,
    endedAt: 1_004,
    failed: false,
  });
  expect(span?.spanId).toMatch(/^[0-9a-f]{16}$/);
  expect(span?.spanId).not.toBe(SENDING_SPAN);
});

test("the span names the message and the notification", () => {
  expect(frameSpan(frame(`00-${TRACE}-${SENDING_SPAN}-01`), 0, 0)?.attributes).toEqual({
    "messaging.system": "websocket",
    "messaging.operation.name": "receive",
    "messaging.operation.type": "receive",
    "messaging.message.id": "c2a1",
    "hopline.notification.kind": "order.placed",
    "hopline.notification.seq": 7,
  });
});

test.each([
  ["no trace context", undefined],
  ["a malformed trace context", "00-1-2-01"],
  ["a trace that is not recorded", `00-${TRACE}-${SENDING_SPAN}-00`],
])("a frame with %s has no span", (_, traceparent) => {
  expect(frameSpan(frame(traceparent), 0, 0)).toBeUndefined();
});
