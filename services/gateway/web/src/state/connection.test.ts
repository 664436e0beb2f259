import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { SharedConnection } from "../realtime/leader";
import { FakeBroadcast, FakeLocks, json } from "../testing/fakes";
import { joinRoom, startConnection } from "./connection";
import { userId } from "./session";

beforeEach(() => {
  const broadcast = new FakeBroadcast();
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
  vi.stubGlobal("BroadcastChannel", function open(name: string) {
    return broadcast.open(name);
  });
  vi.stubGlobal("fetch", vi.fn(json(200, { items: [], head: 0, read_seq: 0 })));
});

afterEach(() => {
  userId.value = null;
  vi.unstubAllGlobals();
});

test("changes of rooms in one task are sent together, so a room that is left and joined again stays joined", async () => {
  const setRooms = vi.spyOn(SharedConnection.prototype, "setRooms");
  userId.value = "user";
  startConnection();
  await vi.waitFor(() => {
    expect(setRooms).toHaveBeenCalledExactlyOnceWith([]);
  });
  const leave = [joinRoom("product:A"), joinRoom("product:B")];
  await Promise.resolve();
  for (const leaveRoom of leave) leaveRoom();
  joinRoom("product:C");
  joinRoom("product:B");
  await Promise.resolve();
  expect(setRooms.mock.calls).toEqual([[[]], [["product:A", "product:B"]], [["product:C", "product:B"]]]);
});
