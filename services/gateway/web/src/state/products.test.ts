import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { json } from "../testing/fakes";
import { connection, roomFrameReceived } from "./connection";
import { liveSkus, loadCatalog, loadProduct, products, startProducts, viewers, watchStock } from "./products";

const ROOM = "product:A";

function product(available: number, sku = "A") {
  return { sku, name: sku, unit_price_cents: 100, currency: "EUR", available };
}

function receiveStock(available: number, version: number): void {
  roomFrameReceived.emit({ t: "stock", room: ROOM, available, version });
}

const POLL_MS = 10_000;

const server = vi.fn<(path: string) => Response | Promise<Response>>();

startProducts();

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", server);
  server.mockReset();
  products.value = new Map();
  connection.value = { phase: "stopped", attempt: 0 };
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("stock", () => {
  test("of a frame replaces that of a response, but not that of a frame with a newer version", async () => {
    server.mockImplementation(json(200, product(10)));
    await loadProduct("A");
    receiveStock(8, 3);
    receiveStock(9, 2);
    expect(products.value.get("A")?.available).toBe(8);
  });

  test("of a response is ignored if a frame arrived during the request", async () => {
    server.mockImplementation(json(200, product(10)));
    await loadProduct("A");
    let respond: (response: Response) => void = () => undefined;
    server.mockImplementation(() => new Promise((resolve) => (respond = resolve)));
    const reading = loadProduct("A");
    await vi.advanceTimersByTimeAsync(5);
    receiveStock(7, 10);
    respond(json(200, product(10))());
    await reading;
    expect(products.value.get("A")?.available).toBe(7);
    server.mockImplementation(json(200, product(5)));
    await vi.advanceTimersByTimeAsync(5);
    await loadProduct("A");
    expect(products.value.get("A")?.available).toBe(5);
  });

  test("of a frame that arrived during the first request replaces that of the response", async () => {
    let respond: (response: Response) => void = () => undefined;
    server.mockImplementation(() => new Promise((resolve) => (respond = resolve)));
    const reading = loadProduct("A");
    await vi.advanceTimersByTimeAsync(5);
    receiveStock(7, 20);
    respond(json(200, product(10))());
    await reading;
    expect(products.value.get("A")?.available).toBe(7);
  });

  test("is polled while the socket is closed, and read once when the room is joined", async () => {
    server.mockImplementation(json(200, product(10)));
    const stop = watchStock(["A"]);
    await vi.advanceTimersByTimeAsync(2 * POLL_MS);
    expect(server).toHaveBeenCalledTimes(2);
    connection.value = { phase: "open", attempt: 0 };
    roomFrameReceived.emit({ t: "joined", room: ROOM });
    roomFrameReceived.emit({ t: "viewers", room: ROOM, viewers: 3 });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server).toHaveBeenCalledTimes(3);
    expect(viewers.value.get("A")).toBe(3);
    connection.value = { phase: "waiting", attempt: 1 };
    expect(liveSkus.value.size).toBe(0);
    await vi.advanceTimersByTimeAsync(POLL_MS);
    expect(server).toHaveBeenCalledTimes(4);
    stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server).toHaveBeenCalledTimes(4);
  });

  test("is polled if the server rejects the room", async () => {
    server.mockImplementation(json(200, product(10)));
    connection.value = { phase: "open", attempt: 0 };
    const stop = watchStock(["A"]);
    roomFrameReceived.emit({ t: "join_rejected", room: ROOM, reason: "rooms_per_connection" });
    await vi.advanceTimersByTimeAsync(POLL_MS);
    expect(server).toHaveBeenCalledTimes(1);
    stop();
  });
});

describe("the catalog", () => {
  test("is loaded page by page", async () => {
    server
      .mockImplementationOnce(json(200, { items: [product(1, "A")], next_cursor: "x y" }))
      .mockImplementationOnce(json(200, { items: [product(2, "B")], next_cursor: null }));
    await loadCatalog();
    expect(server.mock.calls.map(([path]) => path)).toEqual(["/v2/products?limit=100", "/v2/products?limit=100&cursor=x%20y"]);
    expect([...products.value.keys()]).toEqual(["A", "B"]);
  });
});
