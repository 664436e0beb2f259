/** The orders of the user. Notifications update their status. */

import { useEffect, useState } from "preact/hooks";

import { PageHeading } from "../components/heading";
import { useCommand, useLoad } from "../components/load";
import { Problem } from "../components/problem";
import { SignInRequired } from "../components/sign-in-required";
import { Status } from "../components/status";
import { formatMoney, formatTime, shortenId } from "../lib/format";
import { notificationReceived } from "../state/connection";
import { loadOrders, orders, type OrdersPage as Page } from "../state/orders";

export function OrdersPage() {
  return (
    <>
      <PageHeading title="Orders" />
      <SignInRequired next="/orders">
        <OrderList />
      </SignInRequired>
    </>
  );
}

function OrderList() {
  const [{ ids, next }, setShown] = useState<Page>({ ids: [], next: undefined });
  const { isBusy, error, reload } = useLoad("load orders", "", async (action, signal) => {
    const page = await loadOrders("", action, signal);
    // New orders are added at the top. If the page and the list have no common order, there may be a gap between them, so
    // the page replaces the list.
    setShown((shown) => {
      const isContinuous = page.ids.some((id) => shown.ids.includes(id));
      return isContinuous ? { ids: merge(page.ids, shown.ids), next: shown.next } : page;
    });
  });
  const more = useCommand("load more orders", async (action) => {
    const page = await loadOrders(next ?? "", action);
    // If the list was replaced since the request, the page does not continue it.
    setShown((shown) => (shown.next === next ? { ids: merge(shown.ids, page.ids), next: page.next } : shown));
  });
  // An order that was placed on another device, or in another tab, belongs to the list too.
  useEffect(
    () =>
      notificationReceived.on(({ kind }) => {
        if (kind === "order.placed") reload();
      }),
    [reload],
  );
  if (ids.length === 0) {
    if (error !== undefined) return <Problem error={error} onRetry={reload} />;
    return isBusy ? <p>Loading…</p> : <p>You have no orders yet.</p>;
  }
  return (
    <>
      <Problem error={error ?? more.error} onRetry={error === undefined ? more.start : reload} />
      <ul class="list">
        {ids.map((id) => (
          <OrderRow key={id} id={id} />
        ))}
      </ul>
      {next !== undefined && (
        <button type="button" class="secondary" onClick={more.start} aria-disabled={more.isBusy}>
          {more.isBusy ? "Loading…" : "Show more"}
        </button>
      )}
    </>
  );
}

function merge(first: readonly string[], second: readonly string[]): readonly string[] {
  return [...new Set([...first, ...second])];
}

function OrderRow({ id }: { readonly id: string }) {
  const order = orders.value.get(id);
  if (order === undefined) return null;
  const units = order.items.reduce((sum, { quantity }) => sum + quantity, 0);
  return (
    <li class="list-row">
      <div>
        <a href={`#/orders/${id}`}>Order {shortenId(id)}</a>
        <p class="quiet">
          {formatTime(order.created_at)} · {units} {units === 1 ? "unit" : "units"}
        </p>
      </div>
      <span>{formatMoney(order.total_cents, order.currency)}</span>
      <Status status={order.status} />
    </li>
  );
}
