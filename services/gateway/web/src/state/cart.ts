/** The cart. It belongs to the browser, so it exists before a user signs in, and all tabs share it. */

import { computed, signal } from "@preact/signals";

import { readStored, writeStored } from "../lib/storage";

export interface CartItem {
  readonly sku: string;
  readonly quantity: number;
}

const KEY = "hopline.cart";
export const MAX_QUANTITY = 99;
/** The API accepts that many products in one order. */
export const MAX_ITEMS = 50;

export const cart = signal<readonly CartItem[]>(read());

export const cartCount = computed(() => cart.value.reduce((sum, item) => sum + item.quantity, 0));

addEventListener("storage", (event) => {
  if (event.key === KEY || event.key === null) cart.value = read();
});

/** Add units of a product. Return false if the cart is full. */
export function addToCart(sku: string, quantity = 1): boolean {
  const present = cart.value.find((item) => item.sku === sku);
  if (present === undefined && cart.value.length >= MAX_ITEMS) return false;
  setQuantity(sku, (present?.quantity ?? 0) + quantity);
  return true;
}

/** Set the number of units; 0 removes the product. */
export function setQuantity(sku: string, quantity: number): void {
  const limited = Math.max(0, Math.min(MAX_QUANTITY, Math.floor(quantity) || 0));
  const known = cart.value.some((item) => item.sku === sku);
  const items = known ? cart.value : [...cart.value, { sku, quantity: 0 }];
  replaceCart(items.map((item) => (item.sku === sku ? { sku, quantity: limited } : item)).filter((item) => item.quantity > 0));
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
