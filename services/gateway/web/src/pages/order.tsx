/** One order: its status, its items, and a button that cancels it. */

import type { Order, OrderStatus } from "../api/types";
import { PageHeading } from "../components/heading";
import { useCommand, useLoad } from "../components/load";
import { Problem } from "../components/problem";
import { SignInRequired } from "../components/sign-in-required";
import { Status } from "../components/status";
import { usePolling } from "../components/use-polling";
import { formatMoney, formatTime, shortenId } from "../lib/format";
import { route } from "../router";
import { announce } from "../state/announcements";
import { connection } from "../state/connection";
import { cancelOrder, loadOrder, orders } from "../state/orders";

const STEPS: readonly OrderStatus[] = ["placed", "packed", "shipped"];
const POLL_MS = 5_000;

export function OrderPage() {
  const { id } = route.value;
  return (
    <>
      <PageHeading title={`Order ${shortenId(id)}`} />
      <SignInRequired next={`/orders/${id}`}>
        <OrderDetails id={id} />
      </SignInRequired>
      <p>
        <a href="#/orders">All orders</a>
      </p>
    </>
  );
}

function OrderDetails({ id }: { readonly id: string }) {
  const { error, reload } = useLoad("load order", id, (action, signal) => loadOrder(id, action, signal));
  const order = orders.value.get(id);
  const isLive = connection.value.phase === "open";
  const isFinal = order?.status === "shipped" || order?.status === "cancelled";
  // Without a WebSocket, no notification reports the next status.
  usePolling(isLive || isFinal ? undefined : POLL_MS, () => loadOrder(id), [id], "later");
  if (order === undefined) return error === undefined ? <p>Loading…</p> : <Problem error={error} onRetry={reload} />;
  return (
    <>
      <Problem error={error} onRetry={reload} />
      <div class="panel">
        <p aria-live="polite">
          <Status status={order.status} /> <span class="quiet">placed on {formatTime(order.created_at)}</span>
        </p>
        {order.status !== "cancelled" && <Steps status={order.status} />}
        <Items order={order} />
        {order.status === "placed" && <Cancel id={id} />}
      </div>
    </>
  );
}

function Steps({ status }: { readonly status: OrderStatus }) {
  const reached = STEPS.indexOf(status);
  return (
    <ol class="steps">
      {STEPS.map((step, index) => (
        <li key={step} data-reached={index <= reached} aria-current={index === reached ? "step" : undefined}>
          {step[0]?.toUpperCase()}
          {step.slice(1)}
        </li>
      ))}
    </ol>
  );
}

function Items({ order }: { readonly order: Order }) {
  return (
    <table>
      <caption class="visually-hidden">Items of the order</caption>
      <thead>
        <tr>
          <th scope="col">Product</th>
          <th scope="col" class="number">
            Quantity
          </th>
          <th scope="col" class="number">
            Price
          </th>
        </tr>
      </thead>
      <tbody>
        {order.items.map((item) => (
          <tr key={item.sku}>
            <td>
              <a href={`#/product/${encodeURIComponent(item.sku)}`}>{item.name}</a>
            </td>
            <td class="number">{item.quantity}</td>
            <td class="number">{formatMoney(item.unit_price_cents * item.quantity, order.currency)}</td>
          </tr>
        ))}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row" colSpan={2}>
            Total
          </th>
          <td class="number">{formatMoney(order.total_cents, order.currency)}</td>
        </tr>
      </tfoot>
    </table>
  );
}

function Cancel({ id }: { readonly id: string }) {
  const { isBusy, error, start } = useCommand("cancel order", async (action) => {
    await cancelOrder(id, action);
    announce("The order was cancelled.");
  });
  return (
    <>
      <Problem error={error} />
      <button type="button" class="secondary" onClick={start} aria-disabled={isBusy}>
        {isBusy ? "Cancelling…" : "Cancel this order"}
      </button>
    </>
  );
}
