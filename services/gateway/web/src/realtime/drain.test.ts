import { describe, expect, test, vi } from "vitest";

import { flush, notification, provideHarness, type RealtimeHarness } from "../testing/realtime";

let harness: RealtimeHarness;

provideHarness((created) => {
  harness = created;
});

describe("drain", () => {
  test("is followed by a connection after the given time", async () => {
    await harness.open(0);
    harness.socket.receive({ t: "drain", retry_ms: 3120 });
    expect(harness.client.state.phase).toBe("draining");
    harness.socket.receive(notification(1));
    expect(harness.delivered).toEqual([1]);
    await vi.advanceTimersByTimeAsync(1000);
    harness.socket.handlers.closed(1012);
    expect(await harness.waitForReconnect()).toBe(2120);
  });

  test("delays the next connection by at most a minute", async () => {
    await harness.open(0);
    harness.socket.receive({ t: "drain", retry_ms: 61_000 });
    harness.socket.handlers.closed(1012);
    expect(await harness.waitForReconnect()).toBe(60_000);
  });

  test("continues after missed notifications were read", async () => {
    await harness.open(0);
    harness.socket.receive(notification(3), { t: "drain", retry_ms: 3120 });
    await flush();
    expect(harness.delivered).toEqual([1, 2, 3]);
    expect(harness.client.state.phase).toBe("draining");
  });

  test("keeps how the connection resumed, also if the missed notifications arrive later", async () => {
    await harness.open(1);
    harness.socket.receive({ t: "drain", retry_ms: 3120 }, notification(1));
    expect(harness.client.state).toMatchObject({ phase: "draining", resumed: { replayed: 1, gaps: 0 } });
  });
});
