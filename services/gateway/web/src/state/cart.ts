/** The cart. It is stored in the browser, so it exists before a user signs in, and all tabs share it. */

import { computed, signal } from "@preact/signals";

import { readStored, writeStored } from "../lib/storage";

export interface CartItem {
  readonly sku: string;
  readonly quantity: number;
}

const KEY = "hopline.cart";
export const MAX_QUANTITY = 99;
/** Maximum number of different products in one order. The API rejects more. */
export const MAX_ITEMS = 50;

export const cart = signal<readonly CartItem[]>(read());

export const cartCount = computed(() => cart.value.reduce((sum, item) => sum + item.quantity, 0));

addEventListener("storage", (event) => {
  if (event.key === KEY || event.key === null) cart.value = read();
});

/** Add units of a product, up to `MAX_QUANTITY` in total, and return how many were added. */
export function addToCart(sku: string, quantity = 1): number {
  const present = cart.value.find((item) => item.sku === sku)?.quantity ?? 0;
  const total = limit(present + quantity);
  if (total <= present || (present === 0 && cart.value.length >= MAX_ITEMS)) return 0;
  if (present === 0) replaceCart([...cart.value, { sku, quantity: total }]);
  else setQuantity(sku, total);
  return total - present;
}

/** Set the number of units of a product in the cart; 0 removes it. */
export function setQuantity(sku: string, quantity: number): void {
  const items = cart.value.map((item) => (item.sku === sku ? { sku, quantity: limit(quantity) } : item));
  replaceCart(items.filter((item) => item.quantity > 0));
}

function limit(quantity: number): number {
  return Math.max(0, Math.min(MAX_QUANTITY, Math.floor(quantity) || 0));
}

export function replaceCart(items: readonly CartItem[]): void {
  cart.value = items;
  writeStored(KEY, items.length === 0 ? undefined : items);
}

export function isCartItems(value: unknown): value is readonly CartItem[] {
  return Array.isArray(value) && value.length <= MAX_ITEMS && value.every(isCartItem);
}

function isCartItem(value: unknown): value is CartItem {
  if (typeof value !== "object" || value === null) return false;
  const { sku, quantity } = value as Partial<CartItem>;
  return typeof sku === "string" && typeof quantity === "number" && Number.isInteger(quantity) && quantity > 0;
}

function read(): readonly CartItem[] {
  return readStored(KEY, isCartItems) ?? [];
}
