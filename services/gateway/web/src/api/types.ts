/** Bodies of the public API (docs/openapi/v2.json) that the page uses. */

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next_cursor?: string | null;
}

export interface Product {
  readonly sku: string;
  readonly name: string;
  readonly unit_price_cents: number;
  readonly currency: string;
  readonly available: number;
}

export interface User {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  readonly role: string;
  readonly created_at: string;
}

export type OrderStatus = "placed" | "packed" | "shipped" | "cancelled";

export interface OrderItem {
  readonly sku: string;
  readonly name: string;
  readonly quantity: number;
  readonly unit_price_cents: number;
}

export interface Order {
  readonly id: string;
  readonly user_id: string;
  readonly status: OrderStatus;
  readonly items: readonly OrderItem[];
  readonly total_cents: number;
  readonly currency: string;
  readonly created_at: string;
}

export interface Notification {
  readonly seq: number;
  readonly id: string;
  readonly kind: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly created_at: string;
}

export interface NotificationPage {
  readonly items: readonly Notification[];
  readonly head: number;
  readonly read_seq: number;
}

export interface Dashboard {
  readonly user: User | null;
  readonly recent_orders: readonly Order[] | null;
  readonly notifications: { readonly unread: number; readonly latest: readonly Notification[] } | null;
  readonly degraded: readonly string[];
}

export interface Report {
  readonly id: string;
  readonly format: "csv" | "pdf";
  readonly from: string;
  readonly to: string;
  readonly status: "queued" | "running" | "done" | "failed";
  readonly progress: number;
  readonly download_url: string | null;
  readonly size_bytes: number | null;
  readonly error: string | null;
  readonly created_at: string;
}

export interface Ticket {
  readonly ticket: string;
  readonly expires_in: number;
  readonly url: string;
}
