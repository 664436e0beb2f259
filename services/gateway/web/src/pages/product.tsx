/** One product, with its live stock level and its number of viewers. */

import { useEffect, useState } from "preact/hooks";

import { AddToCart } from "../components/add-to-cart";
import { Field } from "../components/field";
import { PageHeading } from "../components/heading";
import { useLoad } from "../components/load";
import { Problem } from "../components/problem";
import { useQuantityField } from "../components/quantity";
import { Stock } from "../components/stock";
import { formatMoney } from "../lib/format";
import { route } from "../router";
import { liveSkus, loadProduct, products, viewers, watchStock } from "../state/products";
import { isSignedIn } from "../state/session";

export function ProductPage() {
  const sku = route.value.id;
  const { isBusy, error, reload } = useLoad("load product", sku, (action, signal) => loadProduct(sku, action, signal));
  useEffect(() => watchStock([sku]), [sku]);
  const [quantity, setQuantity] = useState(1);
  const field = useQuantityField(quantity, setQuantity);
  const product = products.value.get(sku);
  return (
    <>
      <PageHeading title={product?.name ?? "Product"} busy={isBusy} />
      <Problem error={error} onRetry={reload} />
      {isBusy && product === undefined && <p>Loading…</p>}
      {product !== undefined && (
        <div class="panel">
          <p class="price">{formatMoney(product.unit_price_cents, product.currency)}</p>
          <p aria-live="polite">
            <Stock sku={sku} available={product.available} />
          </p>
          <Viewers sku={sku} />
          <div class="row">
            <Field label="Quantity" name="quantity" {...field} />
            <AddToCart product={product} quantity={quantity} />
          </div>
          <p class="quiet">Article {sku}</p>
        </div>
      )}
    </>
  );
}

function Viewers({ sku }: { readonly sku: string }) {
  const count = viewers.value.get(sku);
  if (!isSignedIn.value) return <p class="quiet">Sign in to see how many people look at this product.</p>;
  if (count === undefined || !liveSkus.value.has(sku)) return <p class="quiet">The number of viewers is not known now.</p>;
  return <p class="quiet">{count === 1 ? "Only you look at this now." : `${count} people look at this now.`}</p>;
}
