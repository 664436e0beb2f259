import { expect, test, vi } from "vitest";

import { createSpanId, createTraceId, formatTraceparent, parseTraceparent } from "./trace-context";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

test("created ids have the lengths of the specification and differ", () => {
  expect(createTraceId()).toMatch(/^[0-9a-f]{32}$/);
  expect(createSpanId()).toMatch(/^[0-9a-f]{16}$/);
  expect(createTraceId()).not.toBe(createTraceId());
});

test("an id is never all zero", () => {
  const random = vi.spyOn(crypto, "getRandomValues");
  random.mockImplementationOnce((bytes) => bytes);
  expect(createSpanId()).not.toBe("0".repeat(16));
  expect(random).toHaveBeenCalledTimes(2);
});

test("a formatted header is read back with the sampled flag", () => {
  expect(parseTraceparent(formatTraceparent(TRACE, SPAN))).toEqual({ traceId: TRACE, spanId: SPAN, sampled: true });
});

test("the sampled flag is one bit of the flags", () => {
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-00`)?.sampled).toBe(false);
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-03`)?.sampled).toBe(true);
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-02`)?.sampled).toBe(false);
});

test("a later version may have more fields", () => {
  expect(parseTraceparent(`01-${TRACE}-${SPAN}-01-more`)?.traceId).toBe(TRACE);
  expect(parseTraceparent(`00-${TRACE}-${SPAN}-01-more`)).toBeUndefined();
});

test.each([
  ["missing", undefined],
  ["null", null],
  ["empty", ""],
  ["version ff", `ff-${TRACE}-${SPAN}-01`],
  ["a zero trace id", `00-${"0".repeat(32)}-${SPAN}-01`],
  ["a zero span id", `00-${TRACE}-${"0".repeat(16)}-01`],
  ["upper case", `00-${TRACE.toUpperCase()}-${SPAN}-01`],
  ["a short id", `00-${TRACE.slice(1)}-${SPAN}-01`],
])("an invalid header (%s) has no context", (_, header) => {
  expect(parseTraceparent(header)).toBeUndefined();
});
