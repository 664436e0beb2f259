import { describe, expect, test, vi } from "vitest";

import type { ApiClient } from "../api/client";
import { ProblemError } from "../api/problem";
import { describeFault, faultBetween, FaultSwitches, signInAdmin, type Fault } from "./faults";

const SLOW: Fault = {
  source: "gateway",
  target: "orders",
  kind: "slow",
  value: 2_000,
  until: "2026-01-01T00:01:00Z",
  times: null,
  at: null,
};

function createFetch(status: number, body: object) {
  return vi.fn<typeof fetch>(() => Promise.resolve(new Response(JSON.stringify(body), { status })));
}

test.each([
  ["slow by 2000 ms", SLOW],
  ["errors", { ...SLOW, kind: "errors", value: 100 }],
  ["errors in 50 % of the calls", { ...SLOW, kind: "errors", value: 50 }],
  ["crash at consumer.after_commit", { ...SLOW, kind: "crash", at: "consumer.after_commit" }],
] as const)("the description of a fault is: %s", (text, fault) => {
  expect(describeFault(fault)).toBe(text);
});

test("a crash is not a fault of calls between two services", () => {
  const crash: Fault = { ...SLOW, source: "orders", kind: "crash" };
  expect(faultBetween([crash, SLOW], { source: "gateway", target: "orders" })).toBe(SLOW);
  expect(faultBetween([crash], { source: "orders", target: "orders" })).toBeUndefined();
});

describe("the admin", () => {
  test("signs in without the session of the user", async () => {
    const send = createFetch(200, { access_token: "token" });
    await expect(signInAdmin("admin@hopline.example", "secret", send)).resolves.toBe("token");
    const [url, init] = send.mock.calls[0] ?? [];
    expect(url).toBe("/v2/tokens");
    expect(init?.credentials).toBe("omit");
    expect(init?.body).toEqual(
      new URLSearchParams({ grant_type: "password", username: "admin@hopline.example", password: "secret" }),
    );
    expect(localStorage.length).toBe(0);
  });

  test("receives the problem if the password is wrong", async () => {
    const problem = { type: "https://hopline.example/problems/wrong-credentials", title: "Wrong", status: 401 };
    await expect(signInAdmin("a", "b", createFetch(401, problem))).rejects.toBeInstanceOf(ProblemError);
  });

  test.each([
    ["a failed connection", "network", () => Promise.reject(new TypeError("Failed to fetch"))],
    ["a missing response", "deadline", () => Promise.reject(new DOMException("", "TimeoutError"))],
    ["an incomplete response", "network", () => Promise.resolve(new Response('{"access_token": "'))],
  ])("receives an UnreachableError after %s", async (_, reason, send) => {
    await expect(signInAdmin("a", "b", send)).rejects.toMatchObject({ name: "UnreachableError", reason });
  });

  test("reads, sets and removes faults with the admin's token", async () => {
    const json = vi.fn(() => Promise.resolve({ status: 200, headers: new Headers(), body: { items: [SLOW] } }));
    const switches = new FaultSwitches({ json } as unknown as ApiClient, "token");
    await expect(switches.list()).resolves.toEqual([SLOW]);
    await switches.switchOn({ source: "gateway", target: "orders", kind: "errors", value: 50, for_seconds: 60 });
    await switches.switchOn({ source: "", target: "notifications", kind: "crash", at: "consumer.after_commit", for_seconds: 60 });
    await switches.switchOff(SLOW);
    const options = { headers: { Authorization: "Bearer token" }, background: true, authenticated: false };
    const crash = { target: "notifications", kind: "crash", at: "consumer.after_commit", for_seconds: 60 };
    expect(json.mock.calls).toEqual([
      ["/v2/faults", { ...options, method: "GET", body: undefined }],
      ["/v2/faults", { ...options, method: "POST", body: { source: "gateway", target: "orders", kind: "errors", value: 50, for_seconds: 60 } }],
      ["/v2/faults", { ...options, method: "POST", body: crash }],
      ["/v2/faults?source=gateway&target=orders", { ...options, method: "DELETE", body: undefined }],
    ]);
  });
});
