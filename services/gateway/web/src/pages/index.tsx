/** The page of each route. */

import type { ComponentType } from "preact";

import { PageHeading } from "../components/heading";
import { lazy } from "../components/lazy";
import type { PageName } from "../router";
import { LoginPage, RegisterPage } from "./account";
import { CartPage } from "./cart";
import { CatalogPage } from "./catalog";
import { DashboardPage } from "./dashboard";
import { NotificationsPage } from "./notifications";
import { OrderPage } from "./order";
import { OrdersPage } from "./orders";
import { ProductPage } from "./product";
import { ReportsPage } from "./reports";

function UnknownPage() {
  return (
    <>
      <PageHeading title="Page not found" />
      <p>
        There is no page at this address. <a href="#/">Go to the catalog</a>.
      </p>
    </>
  );
}

export const PAGES: Readonly<Record<PageName, ComponentType>> = {
  catalog: CatalogPage,
  product: ProductPage,
  cart: CartPage,
  login: LoginPage,
  register: RegisterPage,
  dashboard: DashboardPage,
  orders: OrdersPage,
  order: OrderPage,
  notifications: NotificationsPage,
  reports: ReportsPage,
  break: lazy(() => import("../break"), "Loading…"),
  unknown: UnknownPage,
};
