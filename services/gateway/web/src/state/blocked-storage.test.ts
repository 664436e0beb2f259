import { beforeEach, expect, test, vi } from "vitest";

import { startAction, startRequest } from "../telemetry";
import { FakeFetch, FakeLocks, json } from "../testing/fakes";

const accessStorage = vi.fn((): never => {
  throw new DOMException("The operation is insecure.", "SecurityError");
});

beforeEach(() => {
  vi.resetModules();
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
  Object.defineProperty(globalThis, "localStorage", { configurable: true, get: accessStorage });
});

test("a theme can be selected if storage is blocked", async () => {
  const { selectTheme, theme } = await import("./theme");
  selectTheme("dark");
  expect(theme.value).toBe("dark");
  expect(document.documentElement.dataset.theme).toBe("dark");
  selectTheme("system");
  expect(document.documentElement.dataset.theme).toBeUndefined();
  expect(accessStorage).toHaveBeenCalled();
});

test("an order can be placed if storage is blocked", async () => {
  const { ApiClient } = await import("../api/client");
  const { addToCart } = await import("./cart");
  const { placeOrder } = await import("./checkout");
  const server = new FakeFetch().respond(json(201, { id: "order-1" }));
  const tokens = { token: () => Promise.resolve("token"), replace: () => Promise.resolve(undefined) };
  addToCart("A");
  const placed = await placeOrder(new ApiClient({ fetch: server.fetch, tokens, startRequest }), startAction("place order"));
  expect(placed?.id).toBe("order-1");
});

test("notifications are delivered once if storage is blocked", async () => {
  class FakeWebSocket extends EventTarget {
    static readonly OPEN = 1;
    static latest: FakeWebSocket | undefined;
    readonly readyState = FakeWebSocket.OPEN;
    constructor() {
      super();
      FakeWebSocket.latest = this;
    }
    readonly send = vi.fn();
    readonly close = vi.fn();
    receive(frame: object): void {
      this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(frame) }));
    }
  }
  vi.stubGlobal("WebSocket", FakeWebSocket);
  const responses: Record<string, unknown> = {
    "/v2/notifications": { items: [], head: 0, read_seq: 0 },
    "/v2/ws-tickets": { ticket: "t", url: "ws://shop.test/ws" },
  };
  vi.stubGlobal("fetch", (path: string) => Promise.resolve(json(200, responses[path.split("?", 1)[0] ?? ""])()));
  const { connection, notificationReceived, startConnection } = await import("./connection");
  const { userId } = await import("./session");
  const received: number[] = [];
  notificationReceived.on(({ seq }) => received.push(seq));
  startConnection();
  userId.value = "ada";
  const socket = await vi.waitUntil(() => FakeWebSocket.latest);
  socket.dispatchEvent(new Event("open"));
  socket.receive({ t: "welcome", head: 0, read_seq: 0, recovered: true, ping_s: 15 });
  for (const seq of [1, 2, 2]) {
    socket.receive({ t: "n", seq, id: `id-${seq}`, kind: "order.placed", data: {}, at: "2026-01-01T00:00:00Z" });
  }
  socket.receive({ t: "ping", head: 2, read_seq: 0 });
  expect(connection.value).toMatchObject({ phase: "open", resumed: { gaps: 0 } });
  expect(received).toEqual([1, 2]);
  expect(socket.send).toHaveBeenLastCalledWith(JSON.stringify({ t: "pong", cursor: 2 }));
  userId.value = null;
});
