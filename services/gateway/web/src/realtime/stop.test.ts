import { describe, expect, test, vi } from "vitest";

import { flush, notification, provideHarness, type RealtimeHarness } from "../testing/realtime";

let harness: RealtimeHarness;

provideHarness((created) => {
  harness = created;
});

describe("stop by a listener", () => {
  test("the client does not reconnect when a listener of an event calls stop", async () => {
    const onEvent = vi.spyOn(harness.events, "push");
    await harness.open(0);
    onEvent.mockImplementation(() => {
      onEvent.mockRestore();
      harness.client.stop();
      return 0;
    });
    harness.socket.receive(notification(1));
    await vi.advanceTimersByTimeAsync(120_000);
    expect(harness.client.state.phase).toBe("stopped");
    expect(harness.sockets).toHaveLength(1);
  });

  test.each(["connecting", "open"])("the client stays stopped when a listener calls stop in the phase %s", async (phase) => {
    const onEvent = vi.spyOn(harness.events, "push");
    onEvent.mockImplementation((event) => {
      if (event.type === "state" && event.state.phase === phase) {
        onEvent.mockRestore();
        harness.client.stop();
      }
      return 0;
    });
    await harness.open(3, { recovered: false }).catch(() => undefined); // there is no socket to open after "connecting"
    await vi.advanceTimersByTimeAsync(120_000);
    expect(harness.client.state.phase).toBe("stopped");
    expect(harness.delivered).toEqual([]);
  });

  test("nothing more is delivered when a listener calls stop while missed notifications are delivered", async () => {
    await harness.open(0);
    const onEvent = vi.spyOn(harness.events, "push");
    harness.socket.receive(notification(3));
    onEvent.mockImplementation(() => {
      onEvent.mockRestore();
      harness.client.stop();
      return 0;
    });
    await flush();
    expect(harness.cursor).toBe(1);
    expect(harness.delivered).toEqual([]);
    expect(harness.client.state.phase).toBe("stopped");
  });
});
