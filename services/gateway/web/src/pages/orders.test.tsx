import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { notificationReceived } from "../state/connection";
import { userId } from "../state/session";
import { json } from "../testing/fakes";
import { OrdersPage } from "./orders";

const PAGE = 20;

let root: HTMLElement;
/** Number of orders on the server. The newest has the highest number. */
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
  const demanded = new URL(path, "http://shop.test").searchParams.get("cursor") ?? undefined;
  const cursor = Number(demanded ?? last + 1);
  const items = Array.from({ length: Math.min(PAGE, cursor - 1) }, (_, index) => order(cursor - 1 - index));
  const end = cursor - items.length;
  if (demanded !== undefined && demanded === heldCursor) await released;
  return json(200, { items, next_cursor: end > 1 ? `${end}` : null })();
}

beforeEach(async () => {
  vi.stubGlobal("fetch", serve);
  userId.value = "ada";
  last = 50;
  heldCursor = undefined;
  released = new Promise((resolve) => (release = resolve));
  root = document.createElement("div");
  document.body.append(root);
  await act(() => {
    render(<OrdersPage />, root);
  });
  await expectListed(50, PAGE);
  await act(() => root.querySelector<HTMLButtonElement>("button.secondary")?.click());
  await expectListed(50, 2 * PAGE);
});

afterEach(() => {
  render(null, root);
  root.remove();
  vi.unstubAllGlobals();
});

/** Wait until the list has `count` orders, from number `newest` downwards. */
async function expectListed(newest: number, count: number): Promise<void> {
  await vi.waitFor(() => {
    const listed = [...root.querySelectorAll("li a")].map((link) => link.getAttribute("href"));
    expect(listed).toEqual(Array.from({ length: count }, (_, index) => `#/orders/${newest - index}`));
  });
}

async function placeElsewhere(count: number): Promise<void> {
  last += count;
  await act(() => {
    notificationReceived.emit({ t: "n", seq: 1, id: "1", kind: "order.placed", data: { order_id: `${last}` }, at: "" });
  });
}

test("an order that is placed elsewhere is added to the expanded list", async () => {
  await placeElsewhere(1);
  await expectListed(51, 2 * PAGE + 1);
  await act(() => root.querySelector<HTMLButtonElement>("button.secondary")?.click());
  await expectListed(51, 51);
});

test("more orders than a page begin the list again, so that it has no gap", async () => {
  await placeElsewhere(PAGE + 1);
  await expectListed(50 + PAGE + 1, PAGE);
});

test("an older page that arrives after the list has begun again is ignored", async () => {
  const more = (): Promise<void> => act(() => root.querySelector<HTMLButtonElement>("button.secondary")?.click());
  heldCursor = "11";
  await more();
  await placeElsewhere(PAGE + 1);
  await expectListed(50 + PAGE + 1, PAGE);
  release();
  await vi.waitFor(() => {
    expect(root.querySelector("button.secondary")?.textContent).toBe("Show more");
  });
  await more();
  await expectListed(50 + PAGE + 1, 2 * PAGE);
});
