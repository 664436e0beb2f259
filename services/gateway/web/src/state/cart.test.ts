import { beforeEach, expect, test } from "vitest";

import { addToCart, cart, cartCount, MAX_ITEMS, MAX_QUANTITY, replaceCart, setQuantity } from "./cart";

beforeEach(() => {
  localStorage.clear();
  replaceCart([]);
});

test("the cart adds, changes and removes products, and stores them", () => {
  addToCart("A");
  addToCart("A", 2);
  addToCart("B");
  expect(cart.value).toEqual([
    { sku: "A", quantity: 3 },
    { sku: "B", quantity: 1 },
  ]);
  expect(cartCount.value).toBe(4);
  setQuantity("A", 0);
  expect(JSON.parse(localStorage.getItem("hopline.cart") ?? "")).toEqual([{ sku: "B", quantity: 1 }]);
});

test("the number of units has a limit", () => {
  expect(addToCart("A", 2)).toBe(2);
  expect(addToCart("A", MAX_QUANTITY)).toBe(MAX_QUANTITY - 2);
  expect(cart.value).toEqual([{ sku: "A", quantity: MAX_QUANTITY }]);
  expect(addToCart("A")).toBe(0);
  setQuantity("A", 1000);
  expect(cart.value).toEqual([{ sku: "A", quantity: MAX_QUANTITY }]);
  setQuantity("A", Number.NaN);
  expect(cart.value).toEqual([]);
});

test.each([0, -1, Number.NaN])("nothing is added if the quantity is %s", (quantity) => {
  expect(addToCart("A", quantity)).toBe(0);
  expect(cart.value).toEqual([]);
});

test("the number of products has a limit", () => {
  for (let index = 0; index < MAX_ITEMS; index += 1) addToCart(`S${index}`);
  expect(addToCart("one-more")).toBe(0);
  expect(addToCart("S0")).toBe(1);
  expect(cart.value).toHaveLength(MAX_ITEMS);
});

test("a quantity is set only for products that are in the cart", () => {
  addToCart("A");
  setQuantity("B", 2);
  expect(cart.value).toEqual([{ sku: "A", quantity: 1 }]);
});

test.each(["{", "null", '[{"sku":"A"}]', '[{"sku":"A","quantity":-1}]', '{"sku":"A","quantity":1}'])(
  "the cart is empty if the stored one is malformed: %s",
  (stored) => {
    localStorage.setItem("hopline.cart", stored);
    dispatchEvent(new StorageEvent("storage", { key: "hopline.cart" }));
    expect(cart.value).toEqual([]);
  },
);

test("the cart follows the changes of other tabs", () => {
  localStorage.setItem("hopline.cart", JSON.stringify([{ sku: "A", quantity: 2 }]));
  dispatchEvent(new StorageEvent("storage", { key: "hopline.cart" }));
  expect(cart.value).toEqual([{ sku: "A", quantity: 2 }]);
});
