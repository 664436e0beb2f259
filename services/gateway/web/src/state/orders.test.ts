import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { json } from "../testing/fakes";
import { acceptFrame, clearNotifications } from "./notifications";
import { loadOrder, orders, startOrders } from "./orders";
import { userId } from "./session";

const ID = "0d0d0d0d-1111-4222-8333-12345678abcd";

const server = vi.fn<() => Response | Promise<Response>>();

startOrders();

beforeEach(() => {
  vi.stubGlobal("fetch", server);
  server.mockReset();
  clearNotifications();
  userId.value = "ada";
});

afterEach(() => {
  userId.value = null;
  vi.unstubAllGlobals();
});

test.each([
  ["ada", [ID]],
  ["grace", []],
])("the order that ada requested is stored only for ada (%s is signed in)", async (signedIn, ids) => {
  let respond: (response: Response) => void = () => undefined;
  server.mockImplementation(() => new Promise((resolve) => (respond = resolve)));
  const loading = loadOrder(ID);
  await vi.waitFor(() => {
    expect(server).toHaveBeenCalledOnce();
  });
  userId.value = signedIn;
  respond(json(200, { id: ID, status: "placed" })());
  await loading;
  expect([...orders.value.keys()]).toEqual(ids);
});

function notify(seq: number, kind: string): void {
  acceptFrame({ t: "n", seq, id: `${seq}`, kind, data: { order_id: ID }, at: "2026-01-01T00:00:00Z" });
}

test("the status of an order moves forward with notifications", async () => {
  server.mockImplementation(json(200, { id: ID, status: "packed" }));
  await loadOrder(ID);
  notify(1, "order.placed");
  expect(orders.value.get(ID)?.status).toBe("packed");
  notify(2, "order.shipped");
  expect(orders.value.get(ID)?.status).toBe("shipped");
});

test("a notification that arrives before the first response is newer than the response", async () => {
  notify(1, "order.placed");
  notify(2, "order.packed");
  server.mockImplementation(json(200, { id: ID, status: "placed" }));
  await loadOrder(ID);
  expect(orders.value.get(ID)?.status).toBe("packed");
});
