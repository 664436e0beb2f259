/** The button that puts a product into the cart. */

import type { Product } from "../api/types";
import { announce } from "../state/announcements";
import { addToCart } from "../state/cart";

export function AddToCart({ product, quantity = 1 }: { readonly product: Product; readonly quantity?: number }) {
  const add = (): void => {
    announce(addToCart(product.sku, quantity) ? `${product.name} is in the cart.` : "The cart cannot hold more.");
  };
  return (
    <button type="button" onClick={add} disabled={product.available === 0}>
      Add to cart<span class="visually-hidden">: {product.name}</span>
    </button>
  );
}
