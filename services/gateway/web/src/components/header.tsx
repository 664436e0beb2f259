/** The header: navigation, the state of the connection, the theme and the account. */

import { session } from "../api";
import type { ConnectionState } from "../realtime/frames";
import { navigate, route, type PageName } from "../router";
import { announce } from "../state/announcements";
import { cartCount } from "../state/cart";
import { discardCheckout } from "../state/checkout";
import { config } from "../state/config";
import { connection } from "../state/connection";
import { unread } from "../state/notifications";
import { isSignedIn, user, userId } from "../state/session";
import { selectTheme, theme, type Theme } from "../state/theme";
import { useCommand } from "./load";
import { useSecondsUntil } from "./problem";

export function Header() {
  const signedIn = isSignedIn.value;
  return (
    <header class="site-header">
      <a class="brand" href="#/">
        Hopline
      </a>
      <nav aria-label="Main">
        <ul>
          <NavLink pages={["catalog", "product"]} path="/" text="Catalog" />
          <NavLink pages={["cart"]} path="/cart" text="Cart" count={cartCount.value} unit="in the cart" />
          {signedIn && (
            <>
              <NavLink pages={["orders", "order"]} path="/orders" text="Orders" />
              <NavLink pages={["notifications"]} path="/notifications" text="Notifications" count={unread.value} unit="unread" />
              <NavLink pages={["reports"]} path="/reports" text="Reports" />
              <NavLink pages={["dashboard"]} path="/dashboard" text="Dashboard" />
            </>
          )}
          {config.value.development && <NavLink pages={["break"]} path="/break" text="Break it" />}
        </ul>
      </nav>
      <div class="header-end">
        {signedIn && <Connection state={connection.value} />}
        <ThemeToggle />
        <Account />
      </div>
    </header>
  );
}

interface NavLinkProps {
  readonly pages: readonly PageName[];
  readonly path: string;
  readonly text: string;
  readonly count?: number;
  readonly unit?: string;
}

function NavLink({ pages, path, text, count = 0, unit = "" }: NavLinkProps) {
  return (
    <li>
      <a href={`#${path}`} aria-current={pages.includes(route.value.page) ? "page" : undefined}>
        {text}
        {count > 0 && (
          <span class="badge">
            {count > 99 ? "99+" : count}
            <span class="visually-hidden"> {unit}</span>
          </span>
        )}
      </a>
    </li>
  );
}

function Connection({ state }: { readonly state: ConnectionState }) {
  const seconds = useSecondsUntil(state.retryAt ?? 0);
  const words = {
    open: "Live",
    draining: "Live",
    connecting: "Connecting…",
    waiting: seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting…",
    stopped: "Not connected",
  };
  return (
    <span class="connection" data-phase={state.phase}>
      {words[state.phase]}
    </span>
  );
}

function ThemeToggle() {
  const next: Readonly<Record<Theme, Theme>> = { system: "dark", dark: "light", light: "system" };
  const words: Readonly<Record<Theme, string>> = { system: "Auto", dark: "Dark", light: "Light" };
  return (
    <button
      type="button"
      class="secondary"
      onClick={() => {
        selectTheme(next[theme.value]);
      }}
    >
      <span class="theme-label visually-hidden">Theme: </span>
      {words[theme.value]}
    </button>
  );
}

function Account() {
  const signOut = useCommand("sign out", async () => {
    discardCheckout();
    await session.signOut().catch(() => undefined);
    announce("You are signed out.");
    navigate("/");
  });
  if (userId.value === undefined) return null;
  if (!isSignedIn.value) {
    return (
      <a class="button" href="#/login">
        Sign in
      </a>
    );
  }
  return (
    <>
      <span class="user-name">{user.value?.name}</span>
      <button type="button" class="secondary" onClick={signOut.start} aria-disabled={signOut.isBusy}>
        Sign out
      </button>
    </>
  );
}
