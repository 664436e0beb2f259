/** Pages are routes after `#`, because paths belong to the API. */

import { signal } from "@preact/signals";

export type PageName =
  | "catalog"
  | "product"
  | "cart"
  | "login"
  | "register"
  | "dashboard"
  | "orders"
  | "order"
  | "notifications"
  | "reports"
  | "break"
  | "unknown";

export interface Route {
  readonly page: PageName;
  /** The SKU of a product, or the id of an order. */
  readonly id: string;
  readonly query: URLSearchParams;
}

const PAGES: Readonly<Record<string, PageName>> = {
  "": "catalog",
  cart: "cart",
  login: "login",
  register: "register",
  dashboard: "dashboard",
  orders: "orders",
  notifications: "notifications",
  reports: "reports",
  break: "break",
};
const DETAILS: Readonly<Record<string, PageName>> = { product: "product", orders: "order" };

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
  const [first = "", second = "", ...more] = path.split("/");
  const table = second ? DETAILS : PAGES;
  const page = more.length === 0 && Object.hasOwn(table, first) ? table[first] : undefined;
  return { page: page ?? "unknown", id: decode(second), query: new URLSearchParams(query) };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const route = signal<Route>(parseRoute(location.hash));

/** Go to a page, for example `/orders`. */
export function navigate(path: string): void {
  location.hash = `#${path}`;
}

/** Update `route` when the address changes. */
export function startRouter(): void {
  addEventListener("hashchange", () => {
    route.value = parseRoute(location.hash);
  });
}
