/** How many units of a product can be ordered. */

import { liveSkus } from "../state/products";

/** Up to this number of units, the stock is highlighted. */
const FEW = 10;

export function Stock({ sku, available }: { readonly sku: string; readonly available: number }) {
  const isLive = liveSkus.value.has(sku);
  const level = available === 0 ? "none" : available <= FEW ? "few" : "many";
  const words = available === 0 ? "Sold out" : `${available.toLocaleString()} in stock`;
  return (
    <span class="stock" data-level={level} title={isLive ? "Updated live" : "Updated every 10 seconds"}>
      {words}
      {isLive && <span class="live-mark"> · live</span>}
    </span>
  );
}
