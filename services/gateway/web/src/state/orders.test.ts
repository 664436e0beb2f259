import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { json } from "../testing/fakes";
import { loadOrder, orders, startOrders } from "./orders";
import { userId } from "./session";

const ID = "0d0d0d0d-1111-4222-8333-12345678abcd";

const server = vi.fn<() => Response | Promise<Response>>();

startOrders();

beforeEach(() => {
  vi.stubGlobal("fetch", server);
  server.mockReset();
  userId.value = "ada";
});

afterEach(() => {
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
