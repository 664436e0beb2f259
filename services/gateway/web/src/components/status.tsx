/** The status of an order as a word with a colour. The word has the whole meaning, without the colour. */

import type { OrderStatus } from "../api/types";

const WORDS: Readonly<Record<OrderStatus, string>> = {
  placed: "Placed",
  packed: "Packed",
  shipped: "Shipped",
  cancelled: "Cancelled",
};

export function Status({ status }: { readonly status: OrderStatus }) {
  return (
    <span class="status" data-status={status}>
      {WORDS[status]}
    </span>
  );
}
