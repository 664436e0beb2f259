import { beforeEach, describe, expect, test, vi } from "vitest";

import { FakeBroadcast, FakeLocks } from "../testing/fakes";
import type { RealtimeClient } from "./client";
import type { RealtimeEvent } from "./frames";
import { SharedConnection } from "./leader";

class FakeClient {
  readonly start = vi.fn();
  readonly stop = vi.fn();
  readonly join = vi.fn();
  readonly leave = vi.fn();
  readonly markRead = vi.fn(() => true);
  readonly retryNow = vi.fn();
  readonly suspend = vi.fn();
  readonly state = { phase: "open", attempt: 0 } as const;

  constructor(readonly onEvent: (event: RealtimeEvent) => void) {}
}

class Tab {
  readonly events: RealtimeEvent[] = [];
  readonly clients: FakeClient[] = [];
  readonly connection: SharedConnection;

  constructor(name: string, locks: FakeLocks, broadcast: FakeBroadcast) {
    this.connection = new SharedConnection("user", {
      locks,
      openChannel: (channel) => broadcast.open(channel),
      createClient: (onEvent) => {
        const client = new FakeClient(onEvent);
        this.clients.push(client);
        return client as unknown as RealtimeClient;
      },
      onEvent: (event) => this.events.push(event),
      tab: name,
    });
  }

  get client(): FakeClient {
    const client = this.clients[0];
    if (client === undefined) throw new Error("this tab is not the leader, so it has no client");
    return client;
  }
}

const read: RealtimeEvent = { type: "read", readSeq: 5 };

let locks: FakeLocks;
let broadcast: FakeBroadcast;

beforeEach(() => {
  locks = new FakeLocks();
  broadcast = new FakeBroadcast();
});

async function open(name: string): Promise<Tab> {
  const tab = new Tab(name, locks, broadcast);
  tab.connection.start();
  await runPromises();
  return tab;
}

/** Run the chained promises of the locks. */
async function runPromises(): Promise<void> {
  for (let round = 0; round < 20; round += 1) await Promise.resolve();
}

describe("SharedConnection", () => {
  test("one tab connects, and all receive its events", async () => {
    const [first, second] = [await open("1"), await open("2")];
    expect([first.clients.length, second.clients.length]).toEqual([1, 0]);
    first.client.onEvent(read);
    expect(first.events).toEqual([read]);
    expect(second.events).toContainEqual(read);
  });

  test("a new follower receives the state of the connection", async () => {
    await open("1");
    const second = await open("2");
    expect(second.events).toEqual([{ type: "state", state: { phase: "open", attempt: 0 } }]);
  });

  test("another tab becomes the leader when the leader ends, and joins the rooms of all tabs", async () => {
    const [first, second, third] = [await open("1"), await open("2"), await open("3")];
    third.connection.setRooms(["product:A"]);
    expect(first.client.join).toHaveBeenCalledExactlyOnceWith("product:A");
    first.connection.stop();
    await runPromises();
    expect(first.client.stop).toHaveBeenCalledOnce();
    expect(second.connection.isLeader).toBe(true);
    expect(second.client.start).toHaveBeenCalledOnce();
    expect(second.client.join).toHaveBeenCalledExactlyOnceWith("product:A");
    second.client.onEvent(read);
    expect(third.events).toContainEqual(read);
    expect(first.events).not.toContainEqual(read);
  });

  test("a room is left when the last tab that needs it has left it or ended", async () => {
    const [first, second] = [await open("1"), await open("2")];
    first.connection.setRooms(["product:A"]);
    second.connection.setRooms(["product:A"]);
    expect(first.client.join).toHaveBeenCalledOnce();
    first.connection.setRooms([]);
    expect(first.client.leave).not.toHaveBeenCalled();
    second.connection.stop();
    await runPromises();
    expect(first.client.leave).toHaveBeenCalledExactlyOnceWith("product:A");
  });

  test("a tab that needs a joined room receives its last frames", async () => {
    const first = await open("1");
    first.connection.setRooms(["product:A"]);
    const joined: RealtimeEvent = { type: "room", frame: { t: "joined", room: "product:A" } };
    const viewers = (count: number): RealtimeEvent => ({ type: "room", frame: { t: "viewers", room: "product:A", viewers: count } });
    for (const event of [joined, viewers(1), viewers(2)]) first.client.onEvent(event);
    const second = await open("2");
    second.connection.setRooms(["product:A"]);
    expect(second.events.filter(({ type }) => type === "room")).toEqual([joined, viewers(2)]);
    second.connection.setRooms(["product:A", "product:B"]);
    expect(second.events.filter(({ type }) => type === "room")).toEqual([joined, viewers(2)]);
  });

  test("rooms are left before others are joined, and a room in both lists stays joined", async () => {
    const first = await open("1");
    first.connection.setRooms(["product:A", "product:B"]);
    first.connection.setRooms(["product:C", "product:B"]);
    expect(first.client.join.mock.calls.flat()).toEqual(["product:A", "product:B", "product:C"]);
    expect(first.client.leave).toHaveBeenCalledExactlyOnceWith("product:A");
    const order = (mock: { readonly mock: { readonly invocationCallOrder: readonly number[] } }) => mock.mock.invocationCallOrder.at(-1);
    expect(order(first.client.leave)).toBeLessThan(order(first.client.join) ?? 0);
  });

  test("a tab that needs a room receives no frames of an earlier socket", async () => {
    const first = await open("1");
    first.connection.setRooms(["product:A"]);
    first.client.onEvent({ type: "room", frame: { t: "joined", room: "product:A" } });
    first.client.onEvent({ type: "state", state: { phase: "connecting", attempt: 1 } });
    const second = await open("2");
    second.connection.setRooms(["product:A"]);
    expect(second.events.filter(({ type }) => type === "room")).toEqual([]);
  });

  test("only the leader sends read marks by the socket and follows the network", async () => {
    const [first, second] = [await open("1"), await open("2")];
    expect([first.connection.markRead(3), second.connection.markRead(3)]).toEqual([true, false]);
    second.connection.networkChanged(false);
    expect(first.client.suspend).not.toHaveBeenCalled();
    first.connection.networkChanged(false);
    first.connection.networkChanged(true);
    expect(first.client.suspend).toHaveBeenCalledOnce();
    expect(first.client.retryNow).toHaveBeenCalledOnce();
  });
});
