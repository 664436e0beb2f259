import { afterEach, beforeEach, describe, expect, test, vi, type Mock } from "vitest";

import { startAction, startRequest } from "../telemetry";
import { FakeFetch, json } from "../testing/fakes";
import { ApiClient, type ApiCall, type TokenSource, type Wait } from "./client";
import { parseProblem, parseRetryAfter, ProblemError, UnreachableError } from "./problem";
import { parseServerTiming } from "./server-timing";

const busy = (status: number, seconds: string) => json(status, { title: "Busy" }, { "Retry-After": seconds });
const ok = json(200, { items: [] });

let server: FakeFetch;
let tokens: { readonly token: Mock<TokenSource["token"]>; readonly replace: Mock<TokenSource["replace"]> };
let client: ApiClient;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeFetch();
  tokens = { token: vi.fn(() => Promise.resolve("first")), replace: vi.fn(() => Promise.resolve("second")) };
  client = new ApiClient({ fetch: server.fetch, tokens, startRequest });
});

afterEach(() => {
  vi.useRealTimers();
});

function authorizations(): (string | null)[] {
  return server.requests.map((request) => request.headers.get("Authorization"));
}

describe("tokens", () => {
  test("a request has the access token", async () => {
    server.respond(ok);
    expect((await client.json("/v2/orders")).body).toEqual({ items: [] });
    expect(authorizations()).toEqual(["Bearer first"]);
  });

  test("a request is repeated once with another token after a 401", async () => {
    server.respond(json(401, {}), ok);
    await client.json("/v2/orders");
    expect(tokens.replace).toHaveBeenCalledExactlyOnceWith("first");
    expect(authorizations()).toEqual(["Bearer first", "Bearer second"]);
  });

  test("a second 401 is an error", async () => {
    server.respond(json(401, { type: "https://hopline.example/problems/unauthorized" }));
    await expect(client.json("/v2/orders")).rejects.toMatchObject({ status: 401, slug: "unauthorized" });
    expect(server.requests).toHaveLength(2);
  });

  test("a 401 is an error immediately if there is no other token", async () => {
    tokens.replace.mockResolvedValue(undefined);
    server.respond(json(401, {}));
    await expect(client.json("/v2/orders")).rejects.toBeInstanceOf(ProblemError);
    expect(server.requests).toHaveLength(1);
  });

  test("a request has no token if it is not authenticated", async () => {
    server.respond(ok);
    await client.json("/v2/users", { authenticated: false });
    expect(authorizations()).toEqual([null]);
  });
});

describe("Retry-After", () => {
  let waits: (Wait | undefined)[];

  beforeEach(() => {
    waits = [];
    client.waiting.on((wait) => waits.push(wait));
  });

  test.each([429, 503])("a GET is repeated after status %i and the demanded time, and the wait is reported", async (status) => {
    server.respond(busy(status, "4"), ok);
    const start = Date.now();
    const response = client.json("/v2/products");
    await vi.advanceTimersByTimeAsync(3999);
    expect(server.requests).toHaveLength(1);
    expect(waits).toEqual([{ until: start + 4000, status }]);
    await vi.advanceTimersByTimeAsync(1);
    expect((await response).status).toBe(200);
    expect(waits.at(-1)).toBeUndefined();
  });

  test("is respected three times, then the error is reported", async () => {
    server.respond(busy(503, "1"));
    const response = client.json("/v2/products").catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(3000);
    expect(await response).toMatchObject({ status: 503, retryAfterMs: 1000 });
    expect(server.requests).toHaveLength(4);
  });

  test("a POST without a key is not repeated", async () => {
    server.respond(busy(503, "1"));
    await expect(client.json("/v2/reports", { method: "POST", body: {} })).rejects.toMatchObject({ status: 503 });
    expect(server.requests).toHaveLength(1);
  });

  test("a POST with a key is repeated with the same key and body", async () => {
    server.respond(busy(503, "1"), json(409, {}, { "Retry-After": "1" }), json(201, { id: "1" }));
    const response = client.json("/v2/orders", { method: "POST", body: { items: [1] }, headers: { "Idempotency-Key": "key" } });
    await vi.advanceTimersByTimeAsync(2000);
    expect((await response).status).toBe(201);
    expect(server.requests.map((request) => request.headers.get("Idempotency-Key"))).toEqual(["key", "key", "key"]);
    expect(await Promise.all(server.requests.map((request) => request.json()))).toEqual(Array(3).fill({ items: [1] }));
  });

  test("a background request is not repeated and reports no wait", async () => {
    server.respond(busy(503, "1"));
    await expect(client.json("/v2/products", { background: true })).rejects.toMatchObject({ status: 503 });
    expect(waits).toEqual([]);
  });

  test("a request is an error immediately if the demanded time is more than a minute", async () => {
    server.respond(busy(429, "61"));
    await expect(client.json("/v2/products")).rejects.toMatchObject({ retryAfterMs: 61_000 });
  });

  test("no wait begins if the request is aborted while its error response is read", async () => {
    const aborting = new AbortController();
    const body = new ReadableStream({
      pull: (controller) => {
        aborting.abort();
        controller.error(aborting.signal.reason);
      },
    });
    server.respond(() => new Response(body, { status: 503, headers: { "Retry-After": "30" } }));
    await expect(client.json("/v2/products", { signal: aborting.signal })).rejects.toMatchObject({ name: "AbortError" });
    expect(waits).toEqual([]);
  });

  test("a wait ends if the request is aborted", async () => {
    server.respond(busy(503, "30"), ok);
    const aborting = new AbortController();
    const response = client.json("/v2/products", { signal: aborting.signal }).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(1000);
    aborting.abort();
    expect(await response).toMatchObject({ name: "AbortError" });
    expect(waits.at(-1)).toBeUndefined();
  });
});

describe("without a response", () => {
  test("a failed connection is an UnreachableError", async () => {
    server.respond(() => Promise.reject(new TypeError("Failed to fetch")));
    await expect(client.json("/v2/products")).rejects.toMatchObject({ name: "UnreachableError", reason: "network" });
  });

  test("an exceeded deadline is an UnreachableError", async () => {
    vi.useRealTimers();
    server.respond(() => new Promise(() => undefined));
    await expect(client.json("/v2/products", { deadlineMs: 5 })).rejects.toMatchObject({ reason: "deadline" });
  });

  test("an incomplete body is an UnreachableError", async () => {
    server.respond(() => new Response('{"items": ['));
    await expect(client.json("/v2/products")).rejects.toBeInstanceOf(UnreachableError);
  });
});

describe("calls", () => {
  test("are reported with their trace and the times of the upstreams", async () => {
    const calls: ApiCall[] = [];
    client.ended.on((call) => calls.push(call));
    server.respond(json(200, {}, { "Server-Timing": 'orders;dur=3.1;desc="2 attempts", total;dur=4' }));
    const action = startAction("load catalog");
    await client.json("/v2/products", { action });
    const [call] = calls;
    expect(call).toMatchObject({ method: "GET", url: "/v2/products", status: 200, traceId: action.traceId, action });
    expect(call?.serverTiming).toEqual([
      { name: "orders", duration: 3.1, description: "2 attempts" },
      { name: "total", duration: 4, description: "" },
    ]);
    expect(server.requests[0]?.headers.get("traceparent")).toBe(`00-${action.traceId}-${call?.spanId ?? ""}-01`);
  });

  test("without a response have the status 0", async () => {
    const calls: ApiCall[] = [];
    client.ended.on((call) => calls.push(call));
    server.respond(() => Promise.reject(new TypeError("Failed to fetch")));
    await client.json("/v2/products").catch(() => undefined);
    expect(calls).toMatchObject([{ status: 0, isAborted: false, serverTiming: [] }]);
  });

  test("that the page aborts are marked", async () => {
    const calls: ApiCall[] = [];
    client.ended.on((call) => calls.push(call));
    server.respond(() => new Promise(() => undefined));
    const aborting = new AbortController();
    const response = client.json("/v2/products", { signal: aborting.signal }).catch(() => undefined);
    await vi.advanceTimersByTimeAsync(0);
    aborting.abort();
    await response;
    expect(calls).toMatchObject([{ status: 0, isAborted: true }]);
  });
});

describe("error responses", () => {
  test("are parsed with the fields of the problem", async () => {
    const response = json(422, {
      type: "https://hopline.example/problems/validation",
      title: "Invalid",
      detail: "One field is wrong.",
      trace_id: "abc",
      errors: [{ field: "email", message: "is not an address" }, "malformed"],
    })();
    expect(await parseProblem(response, 0)).toMatchObject({
      status: 422,
      slug: "validation",
      title: "Invalid",
      detail: "One field is wrong.",
      traceId: "abc",
      errors: [{ field: "email", message: "is not an address" }],
      message: "One field is wrong.",
    });
  });

  test.each(["<html>502</html>", "[]", "null", ""])("have only the status if the body is not a problem (%j)", async (body) => {
    const problem = await parseProblem(new Response(body, { status: 502 }), 0);
    expect(problem).toMatchObject({ status: 502, slug: "unknown", detail: "", traceId: undefined, errors: [] });
    expect(problem.title).toContain("502");
  });

});

describe("headers", () => {
  const HOUR_MS = 3_600_000;

  test.each([
    [null, undefined],
    ["", undefined],
    ["4", 4000],
    ["3601", HOUR_MS],
    ["1e300", HOUR_MS],
    ["Thu, 01 Jan 2026 00:00:00 GMT", HOUR_MS],
    ["-4", undefined],
    ["soon", undefined],
    ["Thu, 01 Jan 1970 00:00:30 GMT", 20_000],
    ["Thu, 01 Jan 1970 00:00:05 GMT", 0],
  ])("Retry-After %j is %s ms at 00:00:10", (value, expected) => {
    const now = Date.UTC(1970, 0, 1, 0, 0, 10);
    expect(parseRetryAfter(value, now)).toBe(expected);
  });

  test("malformed parts of Server-Timing are ignored", () => {
    expect(parseServerTiming(null)).toEqual([]);
    expect(parseServerTiming(";;, a;dur=x")).toEqual([{ name: "a", duration: 0, description: "" }]);
  });

  test("quoted descriptions of Server-Timing may contain separators and quotes", () => {
    expect(parseServerTiming('b;desc="c, \\"d\\"; e"')).toEqual([{ name: "b", duration: 0, description: 'c, "d"; e' }]);
  });
});
