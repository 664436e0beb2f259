import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { NotificationFrame } from "../realtime/frames";
import { json } from "../testing/fakes";
import { describeNotification, linkOf } from "./notification-text";
import { acceptFrame, clearNotifications, head, loadNotifications, notifications, readSeq, readUpTo, unread } from "./notifications";

function item(seq: number) {
  return { seq, id: `id-${seq}`, kind: "order.placed", data: {}, created_at: "2026-01-01T00:00:00Z" };
}

function frame(seq: number): NotificationFrame {
  return { t: "n", seq, id: `id-${seq}`, kind: "order.placed", data: {}, at: "2026-01-01T00:00:00Z" };
}

const PAGE = 100;

/** Respond with a feed of `last` notifications, in pages. */
function serveFeed(last: number, readMark = 0): void {
  server.mockImplementation((path) => {
    const after = Number(new URL(path, "http://shop.test").searchParams.get("after_seq"));
    const items = Array.from({ length: Math.min(PAGE, last - after) }, (_, index) => item(after + index + 1));
    return json(200, { items, head: last, read_seq: readMark })();
  });
}

const server = vi.fn<(path: string) => Response>();
const listed = (): number[] => notifications.value.map(({ seq }) => seq);

beforeEach(() => {
  vi.stubGlobal("fetch", server);
  server.mockReset();
  clearNotifications();
});

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("notifications", () => {
  test("are loaded from the end of a long feed, newest first", async () => {
    serveFeed(250, 240);
    await loadNotifications();
    expect(listed()).toEqual(Array.from({ length: PAGE }, (_, index) => 250 - index));
    expect([head.value, unread.value]).toEqual([250, 10]);
  });

  test("are added once", async () => {
    serveFeed(2);
    await loadNotifications();
    expect([acceptFrame(frame(2)), acceptFrame(frame(3)), acceptFrame(frame(3))]).toEqual([false, true, false]);
    expect(listed()).toEqual([3, 2, 1]);
    expect(unread.value).toBe(3);
  });

  test("that another tab received before this tab listened are read over REST", async () => {
    serveFeed(1);
    await loadNotifications();
    serveFeed(4);
    expect(acceptFrame(frame(4))).toBe(true);
    await vi.waitFor(() => {
      expect(listed()).toEqual([4, 3, 2, 1]);
    });
  });

  test("that a poll listed while the socket was closed are accepted once", async () => {
    serveFeed(1);
    await loadNotifications();
    serveFeed(3);
    await loadNotifications();
    expect([2, 3, 3].map((seq) => acceptFrame(frame(seq)))).toEqual([true, true, false]);
    expect(listed()).toEqual([3, 2, 1]);
    expect(head.value).toBe(3);
  });

  test("of a user who has signed out during the request are ignored", async () => {
    serveFeed(5, 4);
    const loading = loadNotifications();
    clearNotifications();
    await loading;
    expect(listed()).toEqual([]);
    expect([head.value, readSeq.value]).toEqual([0, 0]);
    expect(acceptFrame(frame(1))).toBe(true);
  });

  test("stay read, because the read mark does not move back", () => {
    readUpTo(5);
    readUpTo(3);
    acceptFrame(frame(6));
    expect(unread.value).toBe(1);
  });
});

describe("the text and the link of a notification", () => {
  const order = { order_id: "0d0d0d0d-1111-4222-8333-12345678abcd" };
  const report = { report_id: "0d0d0d0d-1111-4222-8333-12345678abcd" };

  test.each([
    ["order.shipped", order, "Order 5678abcd was shipped.", `#/orders/${order.order_id}`],
    ["report.progress", { ...report, progress: 40 }, "Report 5678abcd is 40 % complete.", "#/reports"],
    ["report.failed", { ...report, reason: "too many orders" }, "Report 5678abcd failed: too many orders", "#/reports"],
    ["user.registered", {}, "Welcome to Hopline.", undefined],
    ["announcement", { text: "Sale" }, "Sale", undefined],
    ["later.kind", {}, "later.kind", undefined],
  ])("%s", (kind, data, text, link) => {
    expect(describeNotification({ kind, data })).toBe(text);
    expect(linkOf({ kind, data })).toBe(link);
  });
});
