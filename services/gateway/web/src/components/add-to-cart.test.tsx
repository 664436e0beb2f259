import { render } from "preact";
import { afterEach, beforeEach, expect, test } from "vitest";

import { announcement } from "../state/announcements";
import { cart, MAX_QUANTITY, replaceCart } from "../state/cart";

import { AddToCart } from "./add-to-cart";

const PRODUCT = { sku: "MUG", name: "Mug", unit_price_cents: 900, currency: "EUR", available: 200 };
let root: HTMLElement;

beforeEach(() => {
  replaceCart([]);
  root = document.createElement("div");
});

afterEach(() => {
  render(null, root);
});

test.each([
  [0, 2, 2, "Mug is in the cart."],
  [MAX_QUANTITY - 2, 5, MAX_QUANTITY, "2 of 5 were added. The cart holds at most 50 products, and 99 units of each."],
  [MAX_QUANTITY, 1, MAX_QUANTITY, "0 of 1 were added. The cart holds at most 50 products, and 99 units of each."],
])("with %i in the cart, a click for %i more results in %i and announces how many were added", (present, quantity, total, text) => {
  if (present > 0) replaceCart([{ sku: "MUG", quantity: present }]);
  render(<AddToCart product={PRODUCT} quantity={quantity} />, root);
  root.querySelector("button")?.click();
  expect(cart.value).toEqual([{ sku: "MUG", quantity: total }]);
  expect(announcement.value).toBe(text);
});
