/** The button that puts a product into the cart. */

import type { Product } from "../api/types";
import { announce } from "../state/announcements";
import { addToCart, MAX_ITEMS, MAX_QUANTITY } from "../state/cart";

const LIMITS = `The cart holds at most ${MAX_ITEMS} products, and ${MAX_QUANTITY} units of each.`;

export function AddToCart({ product, quantity = 1 }: { readonly product: Product; readonly quantity?: number }) {
  const add = (): void => {
    const added = addToCart(product.sku, quantity);
    announce(added === quantity ? `${product.name} is in the cart.` : `${added} of ${quantity} were added. ${LIMITS}`);
  };
  return (
    <button type="button" onClick={add} disabled={product.available === 0}>
      Add to cart<span class="visually-hidden">: {product.name}</span>
    </button>
  );
}
