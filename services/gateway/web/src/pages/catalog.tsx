/** All products. */

import { useEffect, useRef, useState } from "preact/hooks";

import type { Product } from "../api/types";
import { AddToCart } from "../components/add-to-cart";
import { PageHeading } from "../components/heading";
import { useLoad } from "../components/load";
import { Problem } from "../components/problem";
import { Stock } from "../components/stock";
import { formatMoney } from "../lib/format";
import { loadCatalog, products, watchStock } from "../state/products";

export function CatalogPage() {
  const { isBusy, error, reload } = useLoad("load catalog", "", loadCatalog);
  const list = useRef<HTMLUListElement>(null);
  const shown = [...products.value.values()];
  const visible = useVisibleSkus(list, shown.length);
  useEffect(() => watchStock(visible), [visible.join()]);
  return (
    <>
      <PageHeading title="Catalog" busy={isBusy} />
      <Problem error={error} onRetry={reload} />
      {isBusy && shown.length === 0 && <p>Loading…</p>}
      <ul class="cards" ref={list}>
        {shown.map((product) => (
          <ProductCard key={product.sku} product={product} />
        ))}
      </ul>
    </>
  );
}

function ProductCard({ product }: { readonly product: Product }) {
  return (
    <li class="card" data-sku={product.sku}>
      <h2>
        <a href={`#/product/${encodeURIComponent(product.sku)}`}>{product.name}</a>
      </h2>
      <p class="price">{formatMoney(product.unit_price_cents, product.currency)}</p>
      <p>
        <Stock sku={product.sku} available={product.available} />
      </p>
      <AddToCart product={product} />
    </li>
  );
}

/** Return the SKUs of the products on the screen. Only these need live stock. */
function useVisibleSkus(list: { readonly current: HTMLElement | null }, count: number): readonly string[] {
  const [skus, setSkus] = useState<readonly string[]>([]);
  useEffect(() => {
    const visible = new Set<string>();
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const sku = (target as HTMLElement).dataset.sku ?? "";
        if (isIntersecting) visible.add(sku);
        else visible.delete(sku);
      }
      setSkus([...visible].sort());
    });
    for (const item of list.current?.children ?? []) observer.observe(item);
    return () => {
      observer.disconnect();
    };
  }, [count]);
  return skus;
}
