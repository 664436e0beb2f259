/** The dashboard, which the gateway aggregates from three services. If a service fails, only its part is missing. */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";

import { api } from "../api";
import type { Dashboard } from "../api/types";
import { PageHeading } from "../components/heading";
import { useLoad } from "../components/load";
import { Problem } from "../components/problem";
import { SignInRequired } from "../components/sign-in-required";
import { Status } from "../components/status";
import { formatMoney, formatTime, shortenId } from "../lib/format";
import { userId } from "../state/session";
import { NotificationRow } from "./notifications";

const dashboard = signal<Dashboard | undefined>(undefined);
userId.subscribe(() => {
  dashboard.value = undefined;
});

export function DashboardPage() {
  return (
    <>
      <PageHeading title="Dashboard" />
      <SignInRequired next="/dashboard">
        <Parts />
      </SignInRequired>
    </>
  );
}

function Parts() {
  const { isBusy, error, reload } = useLoad("load dashboard", "", async (action, abortSignal) => {
    const { body } = await api.json<Dashboard>("/v2/dashboard", { action, signal: abortSignal });
    dashboard.value = body;
  });
  const shown = dashboard.value;
  if (shown === undefined) return error === undefined ? <p>Loading…</p> : <Problem error={error} onRetry={reload} />;
  return (
    <>
      <Problem error={error} onRetry={reload} />
      {shown.degraded.length > 0 && (
        <div class="problem" role="status">
          <p>
            <strong>Some parts are missing.</strong> Not available now: {shown.degraded.join(", ")}.
          </p>
        </div>
      )}
      <div class="cards wide">
        <Part title="Account" isAvailable={shown.user !== null}>
          {shown.user?.name}
          <p class="quiet">{shown.user?.email}</p>
        </Part>
        <Part title="Recent orders" isAvailable={shown.recent_orders !== null}>
          {shown.recent_orders?.length === 0 && <p>No orders yet.</p>}
          <ul class="list">
            {shown.recent_orders?.map((order) => (
              <li class="list-row" key={order.id}>
                <div>
                  <a href={`#/orders/${order.id}`}>Order {shortenId(order.id)}</a>
                  <p class="quiet">
                    {formatTime(order.created_at)} · {formatMoney(order.total_cents, order.currency)}
                  </p>
                </div>
                <Status status={order.status} />
              </li>
            ))}
          </ul>
        </Part>
        <Part title="Notifications" isAvailable={shown.notifications !== null}>
          <p>{shown.notifications?.unread} unread</p>
          <ul class="list">
            {shown.notifications?.latest.map((notification) => (
              <NotificationRow key={notification.seq} notification={notification} />
            ))}
          </ul>
        </Part>
      </div>
      <button type="button" class="secondary" onClick={reload} aria-disabled={isBusy}>
        {isBusy ? "Loading…" : "Load again"}
      </button>
    </>
  );
}

interface PartProps {
  readonly title: string;
  readonly isAvailable: boolean;
  readonly children: ComponentChildren;
}

function Part({ title, isAvailable, children }: PartProps) {
  return (
    <section class="card" data-degraded={!isAvailable}>
      <h2>{title}</h2>
      {isAvailable ? children : <p class="field-error">Not available now.</p>}
    </section>
  );
}
