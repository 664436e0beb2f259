import { beforeEach, describe, expect, test, vi } from "vitest";

import { ApiClient } from "../api/client";
import { startAction, startRequest } from "../telemetry";
import { FakeFetch, FakeLocks, json } from "../testing/fakes";
import { addToCart, cart, replaceCart } from "./cart";
import { discardCheckout, isInterrupted, openCheckout, placeOrder } from "./checkout";
import { userId } from "./session";

const placed = json(201, { id: "order-1" });

let server: FakeFetch;
let api: ApiClient;

function place() {
  return placeOrder(api, startAction("place order"));
}

function keys(): (string | null)[] {
  return server.requests.map((request) => request.headers.get("Idempotency-Key"));
}

beforeEach(() => {
  localStorage.clear();
  replaceCart([]);
  userId.value = null;
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
  server = new FakeFetch();
  const tokens = { token: () => Promise.resolve("token"), replace: () => Promise.resolve(undefined) };
  api = new ApiClient({ fetch: server.fetch, tokens, startRequest });
});

describe("the key of a checkout", () => {
  test("stays the same until the cart changes", () => {
    addToCart("A");
    const { key } = openCheckout();
    expect(openCheckout().key).toBe(key);
    addToCart("A");
    expect(openCheckout().key).not.toBe(key);
  });

  test("is sent once when the user clicks twice", async () => {
    addToCart("A");
    server.respond(placed);
    const [first, second] = await Promise.all([place(), place()]);
    expect([first?.id, second?.id]).toEqual(["order-1", "order-1"]);
    expect(server.requests).toHaveLength(1);
    expect(cart.value).toEqual([]);
  });

  test("is kept after a lost response, and completes the submitted order after a reload", async () => {
    addToCart("A");
    const { key } = openCheckout();
    server.respond(() => Promise.reject(new TypeError("network")), placed);
    await expect(place()).rejects.toMatchObject({ name: "UnreachableError" });
    expect(isInterrupted()).toBe(true);
    // The cart has changed after the reload, but the submitted order is completed first.
    addToCart("B");
    expect((await place())?.id).toBe("order-1");
    expect(keys()).toEqual([key, key]);
    expect(await Promise.all(server.requests.map((request) => request.json()))).toEqual([
      { items: [{ sku: "A", quantity: 1 }] },
      { items: [{ sku: "A", quantity: 1 }] },
    ]);
    expect(cart.value).toEqual([{ sku: "B", quantity: 1 }]);
    expect(isInterrupted()).toBe(false);
  });

  test.each([500, 502, 504, 401])("is kept after the status %i, which is not final", async (status) => {
    addToCart("A");
    server.respond(json(status, {}), placed);
    await expect(place()).rejects.toMatchObject({ status });
    await place();
    expect(new Set(keys()).size).toBe(1);
  });

  test.each([409, 422])("is replaced after the final status %i, and the cart is kept", async (status) => {
    addToCart("A");
    server.respond(json(status, {}), placed);
    await expect(place()).rejects.toMatchObject({ status });
    expect(cart.value).toHaveLength(1);
    await place();
    expect(new Set(keys()).size).toBe(2);
  });

  test("is not sent by a tab that waited while another tab placed the order", async () => {
    addToCart("A");
    openCheckout();
    let release: () => void = () => undefined;
    const placedElsewhere = new Promise<void>((resolve) => (release = resolve));
    const otherTab = navigator.locks.request("hopline-checkout", () => placedElsewhere);
    const order = place();
    discardCheckout();
    release();
    await otherTab;
    expect(await order).toBeUndefined();
    expect(server.requests).toHaveLength(0);
  });

  test("is not sent for another user, although the session ended without a sign-out", async () => {
    userId.value = "ada";
    addToCart("A");
    const { key } = openCheckout();
    server.respond(() => Promise.reject(new TypeError("network")), placed);
    await expect(place()).rejects.toMatchObject({ name: "UnreachableError" });
    expect(isInterrupted()).toBe(true);
    userId.value = "grace";
    expect(isInterrupted()).toBe(false);
    await place();
    expect(keys()).toEqual([key, expect.not.stringMatching(key)]);
  });

  test("is deleted when the user signs out", () => {
    addToCart("A");
    const { key } = openCheckout();
    discardCheckout();
    expect(openCheckout().key).not.toBe(key);
  });
});
