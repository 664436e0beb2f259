import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { notificationReceived } from "../state/connection";
import { userId } from "../state/session";
import { json } from "../testing/fakes";
import { OrdersPage } from "./orders";

const PAGE = 20;
const ORDERS = 50;

let root: HTMLElement;
/** The number of the newest order, which is also the number of orders on the server. */
let last: number;
/** The response for this cursor waits for `release`. */
let heldCursor: string | undefined;
let release: () => void;
let released: Promise<void>;

function order(number: number) {
  return { id: `${number}`, status: "placed", items: [], total_cents: 1, currency: "EUR", created_at: "2026-01-01T00:00:00Z" };
}

/** Respond with the orders below the cursor, which is an order's number. */
async function serve(path: string): Promise<Response> {
  const requested = new URL(path, "http://shop.test").searchParams.get("cursor") ?? undefined;
  const cursor = Number(requested ?? last + 1);
  const items = Array.from({ length: Math.min(PAGE, cursor - 1) }, (_, index) => order(cursor - 1 - index));
  const end = cursor - items.length;
  if (requested !== undefined && requested === heldCursor) await released;
  return json(200, { items, next_cursor: end > 1 ? `${end}` : null })();
}

beforeEach(async () => {
  vi.stubGlobal("fetch", serve);
  userId.value = "ada";
  last = ORDERS;
  heldCursor = undefined;
  released = new Promise((resolve) => (release = resolve));
  root = document.createElement("div");
  document.body.append(root);
  await act(() => {
    render(<OrdersPage />, root);
  });
  await expectListed(ORDERS, PAGE);
  await showMore();
  await expectListed(ORDERS, 2 * PAGE);
});

afterEach(() => {
  render(null, root);
  root.remove();
  vi.unstubAllGlobals();
});

async function showMore(): Promise<void> {
  await act(() => root.querySelector<HTMLButtonElement>("button.secondary")?.click());
}

/** Wait until the list has `count` orders, from number `newest` downwards. */
async function expectListed(newest: number, count: number): Promise<void> {
  await vi.waitFor(() => {
    const listed = [...root.querySelectorAll("li a")].map((link) => link.getAttribute("href"));
    expect(listed).toEqual(Array.from({ length: count }, (_, index) => `#/orders/${newest - index}`));
  });
}

/** Place orders in another tab, and receive the notification about the last one. */
async function placeElsewhere(count: number): Promise<void> {
  last += count;
  await act(() => {
    notificationReceived.emit({ t: "n", seq: 1, id: "1", kind: "order.placed", data: { order_id: `${last}` }, at: "" });
  });
}

test("an order that is placed elsewhere is added to the expanded list", async () => {
  await placeElsewhere(1);
  await expectListed(ORDERS + 1, 2 * PAGE + 1);
  await showMore();
  await expectListed(ORDERS + 1, ORDERS + 1);
});

test("the list begins again with the first page if more orders than a page were placed, so that it has no gap", async () => {
  await placeElsewhere(PAGE + 1);
  await expectListed(ORDERS + PAGE + 1, PAGE);
});

test("an older page that arrives after the list has begun again is ignored", async () => {
  heldCursor = String(ORDERS - 2 * PAGE + 1);
  await showMore();
  await placeElsewhere(PAGE + 1);
  await expectListed(ORDERS + PAGE + 1, PAGE);
  release();
  await vi.waitFor(() => {
    expect(root.querySelector("button.secondary")?.textContent).toBe("Show more");
  });
  await showMore();
  await expectListed(ORDERS + PAGE + 1, 2 * PAGE);
});
