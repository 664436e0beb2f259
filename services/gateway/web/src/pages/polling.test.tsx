import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { connection } from "../state/connection";
import { orders } from "../state/orders";
import { reports } from "../state/reports";
import { userId } from "../state/session";
import { json } from "../testing/fakes";
import { route } from "../router";
import { OrderPage } from "./order";
import { ReportsPage } from "./reports";

const ORDER_POLL_MS = 5_000;
const REPORT_POLL_MS = 2_000;
const ID = "00000000-0000-4000-8000-000000000001";
const ORDER = { id: ID, status: "placed", items: [], total_cents: 1, currency: "EUR", created_at: "2026-01-01T00:00:00Z" };
const REPORT = { id: ID, status: "running", progress: 10, format: "csv", created_at: "2026-01-01T00:00:00Z", size_bytes: null };

let root: HTMLElement;
/** The functions that respond to the requests. */
let requests: ((response: Response) => void)[];

beforeEach(() => {
  vi.useFakeTimers();
  localStorage.clear();
  requests = [];
  vi.stubGlobal("fetch", () => new Promise<Response>((resolve) => requests.push(resolve)));
  userId.value = "ada";
  root = document.createElement("div");
  document.body.append(root);
});

afterEach(() => {
  render(null, root);
  root.remove();
  orders.value = new Map();
  reports.value = new Map();
  connection.value = { phase: "stopped", attempt: 0 };
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function wait(milliseconds: number): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(milliseconds);
  });
}

async function respond(body: object): Promise<void> {
  requests.at(-1)?.(json(200, body)());
  await wait(0);
}

test("an order is read again only after the response has arrived, until it is shipped", async () => {
  route.value = { page: "order", id: ID, query: new URLSearchParams() };
  await act(() => {
    render(<OrderPage />, root);
  });
  await respond(ORDER);
  expect(requests).toHaveLength(1);
  await wait(ORDER_POLL_MS);
  expect(requests).toHaveLength(2);
  await wait(9_000); // less than the deadline of a request
  expect(requests).toHaveLength(2);
  await respond({ ...ORDER, status: "shipped" });
  await wait(60_000);
  expect(requests).toHaveLength(2);
});

test("an order is not polled while the WebSocket is open", async () => {
  route.value = { page: "order", id: ID, query: new URLSearchParams() };
  connection.value = { phase: "open", attempt: 0 };
  await act(() => {
    render(<OrderPage />, root);
  });
  await respond(ORDER);
  await wait(60_000);
  expect(requests).toHaveLength(1);
});

test("a report is read again only after the response has arrived, until it is done", async () => {
  localStorage.setItem("hopline.reports.ada", JSON.stringify([ID]));
  await act(() => {
    render(<ReportsPage />, root);
  });
  await respond(REPORT);
  await wait(REPORT_POLL_MS);
  expect(requests).toHaveLength(2);
  await wait(9_000); // less than the deadline of a request
  expect(requests).toHaveLength(2);
  await respond({ ...REPORT, status: "done" });
  await wait(60_000);
  expect(requests).toHaveLength(2);
});
