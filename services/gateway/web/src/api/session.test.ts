import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { FakeBroadcast, FakeFetch, FakeLocks, json, tokenOf } from "../testing/fakes";
import { BrowserSession } from "./session";

/** The key of the storage that shows that this browser has signed in before. */
const HINT = "hopline.signed-in";

/** A page waits this time after the start of a refresh whose page has ended. */
const INTERRUPTED_MS = 2_000;

let server: FakeFetch;
let locks: FakeLocks;
let broadcast: FakeBroadcast;

function grant(user: string, id: string, expiresInSeconds = 900) {
  return json(200, { access_token: tokenOf(user, id), token_type: "bearer", expires_in: expiresInSeconds });
}

function openTab(): BrowserSession {
  return new BrowserSession({ fetch: server.fetch, locks, channel: broadcast.open("session"), storage: localStorage });
}

function paths(): string[] {
  return server.requests.map((request) => `${request.method} ${new URL(request.url).pathname}`);
}

/** Begin a refresh in a page that is reloaded 500 ms later, before the response. Return the time left to wait. */
async function interruptRefresh(): Promise<number> {
  localStorage.setItem(HINT, "1");
  server.respond(() => new Promise(() => undefined), grant("ada", "2"));
  void openTab().token();
  await vi.advanceTimersByTimeAsync(500);
  locks = new FakeLocks(); // the browser releases the locks of a page that ends
  return INTERRUPTED_MS - 500;
}

/** Run the callbacks that do not wait for a response. */
function runCallbacks(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

beforeEach(() => {
  localStorage.clear();
  server = new FakeFetch();
  locks = new FakeLocks();
  broadcast = new FakeBroadcast();
});

afterEach(() => {
  vi.useRealTimers();
});

describe("BrowserSession", () => {
  test("no request is sent if the browser has never signed in", async () => {
    expect(await openTab().token()).toBeUndefined();
    expect(server.requests).toHaveLength(0);
  });

  test("all tabs receive the token of a sign-in, which is not stored", async () => {
    const [first, second] = [openTab(), openTab()];
    const users: (string | undefined)[] = [];
    second.changed.on((user) => users.push(user));
    server.respond(grant("ada", "1"));
    await first.signIn("ada@hopline.example", "secret");
    expect(await first.token()).toBe(tokenOf("ada", "1"));
    expect(await second.token()).toBe(tokenOf("ada", "1"));
    expect(users).toEqual(["ada"]);
    expect(server.requests[0]?.headers.get("X-Hopline-CSRF")).toBe("1");
    expect(JSON.stringify(Object.entries(localStorage))).not.toContain(tokenOf("ada", "1"));
  });

  test("a wrong password is a problem", async () => {
    server.respond(json(401, { type: "https://hopline.example/problems/wrong-credentials", title: "Wrong" }));
    await expect(openTab().signIn("ada@hopline.example", "wrong")).rejects.toMatchObject({ slug: "wrong-credentials" });
  });

  test("concurrent requests of one tab refresh once", async () => {
    localStorage.setItem(HINT, "1");
    server.respond(grant("ada", "1"));
    const tab = openTab();
    expect(new Set(await Promise.all([tab.token(), tab.token(), tab.token()])).size).toBe(1);
    expect(paths()).toEqual(["POST /browser/session/refresh"]);
  });

  test("tabs refresh one at a time, and the second uses the token of the first", async () => {
    localStorage.setItem(HINT, "1");
    server.respond(grant("ada", "1"), grant("ada", "2"));
    const [first, second] = [openTab(), openTab()];
    const tokens = await Promise.all([first.token(), second.token()]);
    expect(tokens).toEqual([tokenOf("ada", "1"), tokenOf("ada", "1")]);
    expect(server.requests).toHaveLength(1);
  });

  test("a refresh waits for the refresh of a page that was reloaded before the response", async () => {
    vi.useFakeTimers();
    const leftMs = await interruptRefresh();
    const token = openTab().token();
    await vi.advanceTimersByTimeAsync(leftMs - 1);
    expect(server.requests).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await token).toBe(tokenOf("ada", "2"));
  });

  test.each([
    ["out", (tab: BrowserSession) => tab.signOut(), "DELETE /browser/session"],
    ["in", (tab: BrowserSession) => tab.signIn("ada@hopline.example", "secret"), "POST /browser/session"],
  ] as const)("signing %s waits for the refresh of a page that was reloaded before the response", async (_, run, expected) => {
    vi.useFakeTimers();
    const leftMs = await interruptRefresh();
    const done = run(openTab());
    await vi.advanceTimersByTimeAsync(leftMs - 1);
    expect(paths()).toEqual(["POST /browser/session/refresh"]);
    await vi.advanceTimersByTimeAsync(1);
    await done;
    expect(paths()).toEqual(["POST /browser/session/refresh", expected]);
  });

  test("a rejected token is replaced, unless another tab has replaced it", async () => {
    localStorage.setItem(HINT, "1");
    server.respond(grant("ada", "1"), grant("ada", "2"));
    const [first, second] = [openTab(), openTab()];
    const rejected = (await first.token()) ?? "";
    expect(await first.replace(rejected)).toBe(tokenOf("ada", "2"));
    expect(await second.replace(rejected)).toBe(tokenOf("ada", "2"));
    expect(server.requests).toHaveLength(2);
  });

  test("a token is renewed before it expires", async () => {
    localStorage.setItem(HINT, "1");
    const expiresInSeconds = 9; // less than the margin of ten seconds
    server.respond(grant("ada", "1", expiresInSeconds), grant("ada", "2"));
    const tab = openTab();
    expect(await tab.token()).toBe(tokenOf("ada", "1"));
    expect(await tab.token()).toBe(tokenOf("ada", "2"));
  });

  test("an ended session is not refreshed again", async () => {
    localStorage.setItem(HINT, "1");
    server.respond(json(401, {}));
    const [first, second] = [openTab(), openTab()];
    expect(await first.token()).toBeUndefined();
    expect(await second.token()).toBeUndefined();
    expect(server.requests).toHaveLength(1);
  });

  test("a failed refresh does not end the session", async () => {
    vi.useFakeTimers();
    localStorage.setItem(HINT, "1");
    server.respond(json(503, {}, { "Retry-After": "2" }), () => Promise.reject(new TypeError("network")), grant("ada", "1"));
    const tab = openTab();
    await expect(tab.token()).rejects.toMatchObject({ status: 503, retryAfterMs: 2000 });
    await expect(tab.token()).rejects.toMatchObject({ name: "UnreachableError" });
    const token = tab.token();
    await vi.advanceTimersByTimeAsync(INTERRUPTED_MS); // the server may have received the request without a response
    expect(await token).toBe(tokenOf("ada", "1"));
  });

  test("an incomplete response is an UnreachableError, and the session continues", async () => {
    localStorage.setItem(HINT, "1");
    server.respond(() => new Response('{"access_token": "'), grant("ada", "1"));
    const tab = openTab();
    await expect(tab.token()).rejects.toMatchObject({ name: "UnreachableError", reason: "network" });
    expect(await tab.token()).toBe(tokenOf("ada", "1"));
  });

  test("signing out waits for a refresh, whose response does not continue the session", async () => {
    localStorage.setItem(HINT, "1");
    let respond: (response: Response) => void = () => undefined;
    server.respond(() => new Promise((resolve) => (respond = resolve)), () => new Response(null, { status: 204 }));
    const [first, second] = [openTab(), openTab()];
    const token = first.token();
    await vi.waitFor(() => {
      expect(server.requests).toHaveLength(1);
    });
    const signedOut = second.signOut();
    await runCallbacks();
    respond(grant("ada", "1")());
    await Promise.all([token, signedOut]);
    expect(paths()).toEqual(["POST /browser/session/refresh", "DELETE /browser/session"]);
    expect(await first.token()).toBeUndefined();
    expect(await second.token()).toBeUndefined();
  });

  test("signing in waits for a refresh, whose rejection does not end the new session", async () => {
    localStorage.setItem(HINT, "1");
    let respond: (response: Response) => void = () => undefined;
    server.respond(() => new Promise((resolve) => (respond = resolve)), grant("grace", "1"));
    const tab = openTab();
    const token = tab.token();
    await vi.waitFor(() => {
      expect(server.requests).toHaveLength(1);
    });
    const signedIn = tab.signIn("grace@hopline.example", "secret");
    await runCallbacks();
    respond(json(401, {})());
    expect(await token).toBeUndefined();
    await signedIn;
    expect(await tab.token()).toBe(tokenOf("grace", "1"));
  });

  test("signing out ends the session in all tabs", async () => {
    const [first, second] = [openTab(), openTab()];
    server.respond(grant("ada", "1"), () => new Response(null, { status: 204 }));
    await first.signIn("ada@hopline.example", "secret");
    await second.signOut();
    expect(paths().at(-1)).toBe("DELETE /browser/session");
    expect(await first.token()).toBeUndefined();
    expect(await second.token()).toBeUndefined();
  });
});
