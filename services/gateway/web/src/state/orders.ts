/** Orders, whose status is updated by notifications. */

import { signal } from "@preact/signals";

import { api } from "../api";
import type { Order, OrderStatus, Page } from "../api/types";
import type { Action } from "../telemetry";
import { notifications } from "./notifications";
import { userId } from "./session";

const STATUS_OF: Readonly<Record<string, OrderStatus>> = {
  "order.placed": "placed",
  "order.packed": "packed",
  "order.shipped": "shipped",
  "order.cancelled": "cancelled",
};
/** The status of an order only moves forward, so neither an older response nor notification replaces a newer status. */
const RANK: Readonly<Record<OrderStatus, number>> = { placed: 0, packed: 1, shipped: 2, cancelled: 2 };

export const orders = signal<ReadonlyMap<string, Order>>(new Map());

export interface OrdersPage {
  readonly ids: readonly string[];
  readonly next: string | undefined;
}

/** Load a page of orders, newest first; `cursor` is empty for the first page. Throws ProblemError or UnreachableError. */
export async function loadOrders(cursor: string, action: Action, signal?: AbortSignal): Promise<OrdersPage> {
  const path = `/v2/orders?limit=20${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`;
  const owner = userId.peek();
  const { body } = await api.json<Page<Order>>(path, { action, signal });
  store(body.items, owner);
  return { ids: body.items.map(({ id }) => id), next: body.next_cursor ?? undefined };
}

/** Load one order. Throws ProblemError or UnreachableError. */
export async function loadOrder(id: string, action?: Action, signal?: AbortSignal): Promise<void> {
  const path = `/v2/orders/${encodeURIComponent(id)}`;
  const owner = userId.peek();
  const { body } = await api.json<Order>(path, { action, signal, background: action === undefined });
  store([body], owner);
}

/** Cancel an order. Throws ProblemError with status 409 if it is packed already. */
export async function cancelOrder(id: string, action: Action): Promise<void> {
  const owner = userId.peek();
  const { body } = await api.json<Order>(`/v2/orders/${encodeURIComponent(id)}/cancel`, { method: "POST", action });
  store([body], owner);
}

/** Apply notifications to the orders that are shown. */
export function startOrders(): void {
  notifications.subscribe(() => {
    store([...orders.peek().values()], userId.peek());
  });
  userId.subscribe(() => {
    orders.value = new Map();
  });
}

/** Store orders of `owner`, unless that user has signed out meanwhile. A notification can be newer than a response. */
function store(read: readonly Order[], owner: typeof userId.value): void {
  if (owner !== userId.peek()) return;
  const updated = new Map(orders.value);
  for (const order of read) {
    const statuses = [order.status, updated.get(order.id)?.status, notifiedStatus(order.id)];
    updated.set(order.id, { ...order, status: statuses.filter((status) => status !== undefined).reduce(later) });
  }
  orders.value = updated;
}

/** Return the status in the newest notification about an order, or undefined if there is none. */
function notifiedStatus(id: string): OrderStatus | undefined {
  const newest = notifications.peek().find(({ kind, data }) => data.order_id === id && Object.hasOwn(STATUS_OF, kind));
  return newest && STATUS_OF[newest.kind];
}

function later(left: OrderStatus, right: OrderStatus): OrderStatus {
  return RANK[right] > RANK[left] ? right : left;
}
