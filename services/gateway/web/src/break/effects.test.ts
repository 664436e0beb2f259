import { describe, expect, test } from "vitest";

import type { ApiCall } from "../api/client";
import type { Dashboard } from "../api/types";
import { effectOfCall, effectOfDashboard, EffectLog } from "./effects";

function call(overrides: Partial<ApiCall>): ApiCall {
  const ids = { traceId: "a".repeat(32), spanId: "b".repeat(16), action: undefined };
  return { id: 1, method: "GET", url: "/v2/orders?limit=20", status: 200, isAborted: false, startedAt: 0, duration: 5, serverTiming: [], ...ids, ...overrides };
}

function textOf(overrides: Partial<ApiCall>): string | undefined {
  return effectOfCall(call(overrides), 0)?.text;
}

describe("a response", () => {
  test("that is fast and successful, or a client error, has no effect", () => {
    expect(textOf({})).toBeUndefined();
    expect(textOf({ status: 404 })).toBeUndefined();
    expect(textOf({ serverTiming: [{ name: "orders", duration: 3, description: "" }] })).toBeUndefined();
  });

  test("that was retried has an effect with the call and its attempts", () => {
    const serverTiming = [{ name: "orders", duration: 80, description: "2 attempts" }];
    expect(textOf({ serverTiming })).toBe("GET /v2/orders: 200 after retries: orders (2 attempts)");
    expect(textOf({ serverTiming, status: 503 })).toBe("GET /v2/orders: 503 after retries: orders (2 attempts)");
  });

  test("that is an error has a bad effect", () => {
    expect(effectOfCall(call({ status: 503 }), 0)).toMatchObject({ severity: "bad", text: "GET /v2/orders: 503" });
    expect(textOf({ status: 429 })).toBe("GET /v2/orders: 429");
    expect(textOf({ status: 0 })).toBe("GET /v2/orders: no response");
  });

  test("with Retry-After has an effect with the time of the next attempt", () => {
    expect(effectOfCall(call({ status: 503, retryAfterMs: 5_000 }), 1_000)?.retryAt).toBe(6_000);
    expect(effectOfCall(call({ status: 503 }), 1_000)?.retryAt).toBeUndefined();
  });

  test("that is late has an effect with its duration", () => {
    expect(effectOfCall(call({ duration: 2_040 }), 0)).toMatchObject({
      severity: "warning",
      text: "GET /v2/orders: 200 after 2.0 s",
    });
  });

  test("to an aborted request has no effect", () => {
    expect(textOf({ status: 0, isAborted: true })).toBeUndefined();
  });

  test("to a request of the panel itself has no effect", () => {
    expect(textOf({ url: "/browser/resilience", status: 503 })).toBeUndefined();
    expect(textOf({ url: "/v2/faults?source=gateway", status: 503 })).toBeUndefined();
  });
});

describe("the effect of a dashboard", () => {
  const whole: Dashboard = { user: null, recent_orders: null, notifications: null, degraded: [] };

  test("is a warning with the names of the missing parts", () => {
    expect(effectOfDashboard({ ...whole, degraded: ["orders", "notifications"] })).toEqual({
      severity: "warning",
      text: "The dashboard came without orders and notifications; the rest is shown",
    });
  });

  test("is good if the dashboard is complete", () => {
    expect(effectOfDashboard(whole).severity).toBe("good");
  });
});

test("the log keeps the last 50 effects, the newest one first", () => {
  const limit = 50;
  const log = new EffectLog();
  for (let number = 0; number < limit + 10; number += 1) log.add({ severity: "good", text: String(number) });
  log.add(undefined);
  expect(log.effects.value).toHaveLength(limit);
  expect(log.effects.value[0]?.text).toBe(String(limit + 9));
  expect(new Set(log.effects.value.map(({ id }) => id)).size).toBe(limit);
  log.clear();
  expect(log.effects.value).toEqual([]);
});

test("effects that are repeated in succession are counted", () => {
  const log = new EffectLog();
  for (const text of ["one", "two", "two", "two"]) log.add({ severity: "bad", text, traceId: text });
  expect(log.effects.value.map(({ text, count }) => `${text} ${count}`)).toEqual(["two 3", "one 1"]);
});
