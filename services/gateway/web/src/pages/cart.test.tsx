import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { FakeLocks, json } from "../testing/fakes";
import { replaceCart, setQuantity } from "../state/cart";
import { userId } from "../state/session";
import { CartPage } from "./cart";

const PRODUCT = { sku: "A", name: "Mug", unit_price_cents: 100, currency: "EUR", available: 5 };

let root: HTMLElement;
/** The idempotency keys of the orders that were submitted. */
let keys: (string | null)[];
let respond: () => Response | Promise<Response>;

beforeEach(() => {
  localStorage.clear();
  root = document.createElement("div");
  document.body.append(root);
  keys = [];
  respond = () => Promise.reject(new TypeError("network"));
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    if (path !== "/v2/orders") return json(200, PRODUCT)();
    keys.push(new Headers(init.headers).get("Idempotency-Key"));
    return respond();
  });
  userId.value = "ada";
  replaceCart([{ sku: "A", quantity: 1 }]);
});

afterEach(() => {
  render(null, root);
  root.remove();
  vi.unstubAllGlobals();
});

async function open(): Promise<void> {
  await act(() => {
    render(<CartPage />, root);
  });
}

function button(): HTMLButtonElement {
  const found = root.querySelector<HTMLButtonElement>("button.large");
  if (found === null) throw new Error("the cart has no checkout");
  return found;
}

/** Click on the button, and wait until the order has failed. */
async function submit(): Promise<void> {
  await act(() => {
    button().click();
  });
  expect(button().textContent).toBe("Placing the order…");
  await vi.waitFor(() => {
    expect(button().textContent).toBe("Try again");
  });
}

test("a changed quantity after a lost response submits nothing, and the next click repeats the order", async () => {
  await open();
  await submit();
  expect(keys).toHaveLength(1);
  await act(() => {
    setQuantity("A", 2);
  });
  expect(button().textContent).toBe("Try again");
  expect(keys).toHaveLength(1);
  await submit();
  expect(keys).toEqual([keys[0], keys[0]]);
});

test("an order that was being placed when the page was reloaded is completed", async () => {
  await open();
  await submit();
  render(null, root);
  respond = json(201, { id: "order-1" });
  await open();
  await vi.waitFor(() => {
    expect(location.hash).toBe("#/orders/order-1");
  });
  expect(keys).toEqual([keys[0], keys[0]]);
});
