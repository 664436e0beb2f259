import { describe, expect, test, vi } from "vitest";

import { flush, notification, provideHarness, type RealtimeHarness } from "../testing/realtime";
import { RealtimeClient } from "./client";

const HOUR_MS = 3_600_000;

/** The client waits this time longer than two pings. */
const SILENCE_MARGIN_MS = 5_000;

let harness: RealtimeHarness;

provideHarness((created) => {
  harness = created;
});

describe("resume", () => {
  test("sends the cursor and delivers what was missed in order", async () => {
    harness.cursor = 41;
    await harness.open(43);
    expect(harness.socket.sent[0]).toEqual({ t: "hello", v: 1, ticket: "ticket-1", cursor: 41 });
    harness.socket.receive(notification(42), notification(43), notification(44));
    expect(harness.delivered).toEqual([42, 43, 44]);
    expect(harness.cursor).toBe(44);
    expect(harness.client.state).toMatchObject({ phase: "open", resumed: { replayed: 2, gaps: 0 } });
  });

  test("continues at the cursor after the connection was lost", async () => {
    await harness.open(0);
    harness.socket.receive(notification(1), notification(2));
    harness.socket.handlers.closed(1006);
    await harness.waitForReconnect();
    await harness.open(3);
    expect(harness.socket.sent[0]).toMatchObject({ t: "hello", ticket: "ticket-2", cursor: 2 });
    harness.socket.receive(notification(2), notification(3));
    expect(harness.delivered).toEqual([1, 2, 3]);
  });

  test("ignores frames of an earlier socket", async () => {
    await harness.open(0);
    const first = harness.socket;
    first.handlers.closed(1006);
    await harness.waitForReconnect();
    await harness.open(0);
    first.receive(notification(1));
    first.handlers.closed(1006);
    expect(harness.delivered).toEqual([]);
    expect(harness.client.state.phase).toBe("open");
  });

  test("moves the cursor back if the feed has become shorter", async () => {
    harness.cursor = 90;
    await harness.open(3);
    harness.socket.receive(notification(4));
    expect(harness.delivered).toEqual([4]);
  });
});

describe("gaps", () => {
  test("are read over REST, and later frames follow them", async () => {
    await harness.open(0);
    harness.socket.receive(notification(1), notification(4), notification(5));
    await flush();
    expect(harness.readMissed).toHaveBeenCalledExactlyOnceWith(1, 4);
    expect(harness.delivered).toEqual([1, 2, 3, 4, 5]);
  });

  test("that are too large for the socket are read over REST", async () => {
    harness.cursor = 10;
    await harness.open(700, { recovered: false });
    expect(harness.readMissed).toHaveBeenCalledExactlyOnceWith(10, 700);
    expect(harness.delivered).toHaveLength(690);
    expect(harness.client.state.resumed).toEqual({ replayed: 690, gaps: 1 });
    harness.socket.receive(notification(701));
    expect(harness.cursor).toBe(701);
  });

  test("that cannot be read end the connection, so that the next one begins at the cursor", async () => {
    harness.readMissed.mockRejectedValueOnce(new Error("503"));
    await harness.open(0);
    harness.socket.receive(notification(3));
    await flush();
    expect(harness.client.state.phase).toBe("waiting");
    expect(harness.delivered).toEqual([]);
    await harness.waitForReconnect();
    await harness.open(3);
    harness.socket.receive(notification(1), notification(2), notification(3));
    expect(harness.delivered).toEqual([1, 2, 3]);
  });
});

describe("after a closed connection", () => {
  test.each([
    [4401, 0, "the ticket was rejected"],
    [4408, 1000, "a pong was missed"],
    [4008, 1000, "the client reads too slowly"],
    [4429, 31_000, "the user has too many connections"],
    [1008, 31_000, "the server rejects the frames"],
    [1012, 1000, "the server restarts without a drain"],
    [1013, 1000, "a store is not available"],
    [1006, 1000, "the network failed"],
  ])("with code %i, the client requests the next ticket after %i ms (%s)", async (code, expected) => {
    await harness.open(0);
    harness.socket.handlers.closed(code);
    expect(harness.client.state).toMatchObject({ phase: "waiting", closeCode: code, attempt: 1 });
    expect(await harness.waitForReconnect()).toBe(expected);
  });

  test("the delay doubles up to half a minute, and starts again after a connection that lasted ten seconds", async () => {
    harness.client.start();
    const times: number[] = [];
    for (let attempt = 0; attempt < 7; attempt += 1) {
      await flush();
      harness.socket.handlers.closed(1006);
      times.push(await harness.waitForReconnect());
    }
    expect(times).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    await harness.open(0);
    await vi.advanceTimersByTimeAsync(10_000);
    harness.socket.handlers.closed(1006);
    expect(await harness.waitForReconnect()).toBe(1000);
  });

  test("the next ticket is requested with a delay if two in succession were rejected", async () => {
    await harness.open(0);
    harness.socket.handlers.closed(4401);
    await harness.waitForReconnect();
    harness.socket.handlers.closed(4401);
    expect(await harness.waitForReconnect()).toBe(2000);
  });

  test("the delay is random, so that clients do not reconnect simultaneously", async () => {
    const maxDelayMs = 1000;
    const random = vi.fn(() => 0.25);
    const requestTicket = vi.fn(() => Promise.reject(new Error("503")));
    const { readMissed } = harness;
    const client = new RealtimeClient({ requestTicket, readMissed, cursor: { load: () => 0, save: () => undefined }, onEvent: () => undefined, random });
    client.start();
    await flush();
    expect(client.state.retryAt).toBe(Date.now() + 0.25 * maxDelayMs);
    client.stop();
  });
});

describe("tickets", () => {
  test("are requested again after the delay that the server demands", async () => {
    harness.requestTicket.mockRejectedValueOnce(Object.assign(new Error("503"), { retryAfterMs: 7000 }));
    harness.client.start();
    await flush();
    expect(await harness.waitForReconnect()).toBe(7000);
  });
});

describe("a delay that the server demands", () => {
  // setTimeout calls back immediately if the delay exceeds 2^31 - 1 milliseconds.
  test("before the next ticket is at most an hour", async () => {
    harness.requestTicket.mockRejectedValueOnce(Object.assign(new Error("busy"), { retryAfterMs: 2 ** 31 }));
    harness.client.start();
    await flush();
    expect(await harness.waitForReconnect()).toBe(HOUR_MS);
  });

  test("between pings is at most an hour", async () => {
    await harness.open(0, { ping_s: 2 ** 31 });
    await vi.advanceTimersByTimeAsync(2 * HOUR_MS);
    expect(harness.client.state.phase).toBe("open");
    await vi.advanceTimersByTimeAsync(SILENCE_MARGIN_MS);
    expect(harness.client.state.phase).toBe("waiting");
  });
});

describe("a silent connection", () => {
  test("is replaced after the time of two pings", async () => {
    await harness.open(0, { ping_s: 10 });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(harness.client.state.phase).toBe("open");
    await vi.advanceTimersByTimeAsync(SILENCE_MARGIN_MS);
    expect(harness.client.state).toMatchObject({ phase: "waiting", closeCode: 1006 });
    expect(harness.socket.isClosed).toBe(true);
  });

  test("is kept while pings arrive, and each pong has the cursor", async () => {
    harness.cursor = 7;
    await harness.open(7, { ping_s: 10 });
    for (let round = 0; round < 5; round += 1) {
      await vi.advanceTimersByTimeAsync(10_000);
      harness.socket.receive({ t: "ping", head: 7, read_seq: 3 });
    }
    expect(harness.client.state.phase).toBe("open");
    expect(harness.socket.sent.at(-1)).toEqual({ t: "pong", cursor: 7 });
    expect(harness.events.at(-1)).toEqual({ type: "read", readSeq: 3 });
  });

  test("that does not open is replaced", async () => {
    harness.client.start();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(harness.client.state.phase).toBe("waiting");
    expect(harness.client.state.closeCode).toBeUndefined();
  });
});

describe("rooms", () => {
  test("are joined again after a reconnection, and their frames are passed on", async () => {
    harness.client.join("product:A");
    await harness.open(0);
    harness.client.join("product:B");
    harness.client.leave("product:A");
    expect(harness.socket.sent.slice(1)).toEqual([
      { t: "join", room: "product:A" },
      { t: "join", room: "product:B" },
      { t: "leave", room: "product:A" },
    ]);
    harness.socket.handlers.closed(1006);
    await harness.waitForReconnect();
    await harness.open(0);
    expect(harness.socket.sent.slice(1)).toEqual([{ t: "join", room: "product:B" }]);
    const frame = { t: "stock", room: "product:B", available: 4, version: 2 };
    harness.socket.receive(frame);
    expect(harness.events.at(-1)).toEqual({ type: "room", frame });
  });
});

describe("control", () => {
  test("malformed frames are ignored", async () => {
    await harness.open(0);
    harness.socket.handlers.received("not JSON");
    harness.socket.receive(null, {}, { t: "n", seq: "1" }, { t: "n", seq: 1, id: "1", kind: "x", data: null, at: "" }, { t: "later" });
    expect(harness.delivered).toEqual([]);
    expect(harness.client.state.phase).toBe("open");
  });

  test("stop closes the socket, and the client does not reconnect", async () => {
    await harness.open(0);
    harness.client.stop();
    expect(harness.socket.isClosed).toBe(true);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(harness.sockets).toHaveLength(1);
  });

  test("suspend closes the connection, and retryNow connects immediately", async () => {
    await harness.open(0);
    harness.client.suspend();
    expect(harness.client.state).toMatchObject({ phase: "waiting", closeCode: 1006 });
    harness.client.retryNow();
    await flush();
    expect(harness.sockets).toHaveLength(2);
  });

  test("a read mark is sent only over an open connection", async () => {
    expect(harness.client.markRead(3)).toBe(false);
    await harness.open(3);
    expect(harness.client.markRead(3)).toBe(true);
    expect(harness.socket.sent.at(-1)).toEqual({ t: "read", up_to: 3 });
  });
});
