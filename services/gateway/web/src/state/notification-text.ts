/** Notifications as sentences. */

import { shortenId } from "../lib/format";

interface Described {
  readonly kind: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export function describeNotification({ kind, data }: Described): string {
  const order = `Order ${shortenId(text(data.order_id))}`;
  const report = `Report ${shortenId(text(data.report_id))}`;
  switch (kind) {
    case "order.placed":
      return `${order} was placed.`;
    case "order.packed":
      return `${order} was packed.`;
    case "order.shipped":
      return `${order} was shipped.`;
    case "order.cancelled":
      return `${order} was cancelled.`;
    case "report.progress":
      return `${report} is ${typeof data.progress === "number" ? data.progress : 0} % complete.`;
    case "report.ready":
      return `${report} can be downloaded.`;
    case "report.failed":
      return `${report} failed: ${text(data.reason)}`;
    case "user.registered":
      return "Welcome to Hopline.";
    default:
      return text(data.text) || text(data.message) || kind;
  }
}

/** Return the page that a notification is about, or undefined. */
export function linkOf({ kind, data }: Described): string | undefined {
  if (kind.startsWith("order.")) return `#/orders/${encodeURIComponent(text(data.order_id))}`;
  return kind.startsWith("report.") ? "#/reports" : undefined;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
