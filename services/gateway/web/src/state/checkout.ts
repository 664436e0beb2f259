/**
 * Placing an order exactly once.
 *
 * The idempotency key is created when the checkout opens and stored with the user and the items until the server has given
 * a final response. So a second click, a reload and a repeated request after a lost response all send the same key.
 */

import { signal } from "@preact/signals";

import type { ApiClient } from "../api/client";
import { ProblemError } from "../api/problem";
import type { Order } from "../api/types";
import { readStored, writeStored } from "../lib/storage";
import type { Action } from "../telemetry";
import { cart, isCartItems, replaceCart, type CartItem } from "./cart";
import { userId } from "./session";

export interface Checkout {
  /** The id of the user whose order it is. */
  readonly user: string;
  readonly key: string;
  readonly items: readonly CartItem[];
  /** Whether the request has been sent. Its response may have been lost. */
  readonly submitted: boolean;
}

const KEY = "hopline.checkout";
const LOCK = "hopline-checkout";

/** Whether an order is being placed by this tab. */
const placing = signal(false);

let current: Promise<Order | undefined> | undefined;

/** Return the checkout of the cart as it is now. A changed cart is another order, so it gets another key. */
export function openCheckout(): Checkout {
  const stored = readCheckout();
  if (stored !== undefined && (stored.submitted || isSame(stored.items, cart.value))) return stored;
  const checkout: Checkout = { user: currentUser(), key: crypto.randomUUID(), items: cart.value, submitted: false };
  writeStored(KEY, checkout);
  return checkout;
}

/** Whether an order was being placed when the page was closed or reloaded. */
export function isInterrupted(): boolean {
  return !placing.value && readCheckout()?.submitted === true;
}

/** Delete the checkout, because its user signs out. */
export function discardCheckout(): void {
  writeStored(KEY, undefined);
}

/**
 * Place the order of the open checkout. A call while another one is running returns the same order.
 *
 * Return undefined if another tab has placed the order meanwhile.
 *
 * @throws ProblemError The order was rejected, or the server cannot place it now.
 * @throws UnreachableError There was no response. The order may have been placed; then the next call returns it.
 */
export function placeOrder(api: ApiClient, action: Action): Promise<Order | undefined> {
  if (current !== undefined) return current;
  const { key } = openCheckout();
  placing.value = true;
  current = navigator.locks
    .request(LOCK, () => submit(api, action, key))
    .finally(() => {
      placing.value = false;
      current = undefined;
    });
  return current;
}

async function submit(api: ApiClient, action: Action, key: string): Promise<Order | undefined> {
  const checkout = readCheckout();
  // Another tab completed this checkout while this tab waited for the lock.
  if (checkout?.key !== key) return undefined;
  writeStored(KEY, { ...checkout, submitted: true } satisfies Checkout);
  try {
    const { body } = await api.json<Order>("/v2/orders", {
      method: "POST",
      body: { items: checkout.items },
      headers: { "Idempotency-Key": key },
      action,
    });
    writeStored(KEY, undefined);
    replaceCart(withoutOrdered(cart.value, checkout.items));
    return body;
  } catch (error) {
    if (isFinal(error)) writeStored(KEY, undefined);
    throw error;
  }
}

/** Whether the server has rejected this order for good. After other errors, the same request may still succeed. */
function isFinal(error: unknown): boolean {
  if (!(error instanceof ProblemError) || error.retryAfterMs !== undefined) return false;
  return error.status >= 400 && error.status < 500 && ![401, 403, 408, 429].includes(error.status);
}

/** Return the cart without the ordered units. Products that another tab added meanwhile stay in the cart. */
function withoutOrdered(items: readonly CartItem[], ordered: readonly CartItem[]): CartItem[] {
  const quantities = new Map(ordered.map((item) => [item.sku, item.quantity]));
  return items
    .map(({ sku, quantity }) => ({ sku, quantity: quantity - (quantities.get(sku) ?? 0) }))
    .filter((item) => item.quantity > 0);
}

function isSame(left: readonly CartItem[], right: readonly CartItem[]): boolean {
  const sorted = (items: readonly CartItem[]): string =>
    JSON.stringify(items.map(({ sku, quantity }) => [sku, quantity]).sort());
  return sorted(left) === sorted(right);
}

/** Return the stored checkout if it is the current user's. The session of an earlier user may have ended without a sign-out. */
function readCheckout(): Checkout | undefined {
  const stored = readStored(KEY, isCheckout);
  return stored?.user === currentUser() ? stored : undefined;
}

function currentUser(): string {
  return userId.value ?? "";
}

function isCheckout(value: unknown): value is Checkout {
  if (typeof value !== "object" || value === null) return false;
  const { user, key, items, submitted } = value as Partial<Checkout>;
  return typeof user === "string" && typeof key === "string" && isCartItems(items) && typeof submitted === "boolean";
}
