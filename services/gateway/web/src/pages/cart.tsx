/** The cart and the checkout. */

import { useEffect } from "preact/hooks";

import { api } from "../api";
import { PageHeading } from "../components/heading";
import { useCommand, useLoad } from "../components/load";
import { Problem } from "../components/problem";
import { useQuantityField } from "../components/quantity";
import { formatMoney } from "../lib/format";
import { navigate } from "../router";
import { announce } from "../state/announcements";
import { cart, setQuantity, type CartItem } from "../state/cart";
import { isInterrupted, openCheckout, placeOrder } from "../state/checkout";
import { loadProduct, products } from "../state/products";
import { isSignedIn } from "../state/session";

export function CartPage() {
  const unknown = cart.value.filter(({ sku }) => !products.value.has(sku)).map(({ sku }) => sku);
  const skus = cart.value.map(({ sku }) => sku).join();
  const { error, reload } = useLoad("load cart", skus, async (action, signal) => {
    await Promise.all(unknown.map((sku) => loadProduct(sku, action, signal)));
  });
  const isEmpty = cart.value.length === 0 && !isInterrupted();
  return (
    <>
      <PageHeading title="Cart" />
      <Problem error={error} onRetry={reload} />
      {isEmpty ? (
        <p>
          Your cart is empty. <a href="#/">Go to the catalog</a>.
        </p>
      ) : (
        <>
          <CartTable />
          <Checkout />
        </>
      )}
    </>
  );
}

function CartTable() {
  const total = cart.value.reduce((sum, { sku, quantity }) => {
    return sum + (products.value.get(sku)?.unit_price_cents ?? 0) * quantity;
  }, 0);
  const currency = products.value.values().next().value?.currency;
  return (
    <table class="cart">
      <caption class="visually-hidden">Products in the cart</caption>
      <thead>
        <tr>
          <th scope="col">Product</th>
          <th scope="col">Quantity</th>
          <th scope="col" class="number">
            Price
          </th>
        </tr>
      </thead>
      <tbody>
        {cart.value.map((item) => (
          <CartRow key={item.sku} item={item} />
        ))}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row" colSpan={2}>
            Total
          </th>
          <td class="number">{currency !== undefined && formatMoney(total, currency)}</td>
        </tr>
      </tfoot>
    </table>
  );
}

function CartRow({ item: { sku, quantity } }: { readonly item: CartItem }) {
  const product = products.value.get(sku);
  const name = product?.name ?? sku;
  const field = useQuantityField(quantity, (changed) => {
    setQuantity(sku, changed);
  });
  return (
    <tr>
      <td>
        <a href={`#/product/${encodeURIComponent(sku)}`}>{name}</a>
        {product !== undefined && product.available < quantity && (
          <p class="field-error">Only {product.available} in stock.</p>
        )}
      </td>
      <td>
        <div class="row">
          <input {...field} aria-label={`Quantity of ${name}`} />
          <button
            type="button"
            class="secondary"
            onClick={() => {
              setQuantity(sku, 0);
              announce(`${name} was removed from the cart.`);
            }}
          >
            Remove<span class="visually-hidden"> {name}</span>
          </button>
        </div>
      </td>
      <td class="number">{product && formatMoney(product.unit_price_cents * quantity, product.currency)}</td>
    </tr>
  );
}

function Checkout() {
  const order = useCommand("place order", async (action) => {
    const placed = await placeOrder(api, action);
    if (placed === undefined) announce("This order was placed in another tab.");
    else announce("Your order was placed.");
    navigate(placed === undefined ? "/orders" : `/orders/${placed.id}`);
  });
  const signedIn = isSignedIn.value;
  useEffect(() => {
    // An order that was being placed when the page was reloaded is completed. The same key makes it the same order.
    if (signedIn && isInterrupted()) order.start();
  }, [signedIn]);
  useEffect(() => {
    if (signedIn && cart.value.length > 0) openCheckout();
  }, [signedIn, cart.value]);
  if (!signedIn) {
    return (
      <p>
        <a class="button" href="#/login?next=/cart">
          Sign in
        </a>{" "}
        to place the order.
      </p>
    );
  }
  return (
    <section aria-label="Checkout">
      <Problem error={order.error} />
      <button type="button" class="large" onClick={order.start} aria-disabled={order.isBusy}>
        {order.isBusy ? "Placing the order…" : order.error === undefined ? "Place order" : "Try again"}
      </button>
      <p class="quiet">Trying again never places a second order.</p>
    </section>
  );
}
