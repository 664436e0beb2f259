import { describe, expect, test } from "vitest";

import type { ConnectionState } from "../realtime/frames";
import { flush, notification, provideHarness, type RealtimeHarness } from "../testing/realtime";
import { connectionEffect, connectionText, resumedText } from "./connection-text";

const OPEN: ConnectionState = { phase: "open", attempt: 0 };

test("the text of an open connection has neither the number of the retry nor a reason", () => {
  const earlier = { attempt: 2, closeCode: 1006 };
  expect(connectionText({ phase: "open", ...earlier })).toBe("Open");
  expect(connectionText({ phase: "draining", ...earlier })).toBe("Open until the server closes it");
});

test("the text of a waiting connection has the number of the retry and the reason", () => {
  const state = { phase: "waiting", attempt: 2, closeCode: 1006 } as const;
  expect(connectionText(state)).toBe("Waiting before the next attempt (retry 2); closed with 1006: the connection was lost");
});

test.each([
  ["Missed notifications are being delivered.", undefined],
  ["Resumed without gap: 3 notifications replayed.", { replayed: 3, gaps: 0 }],
  ["Resumed with 1 gap that was read over HTTP: 1 notification replayed.", { replayed: 1, gaps: 1 }],
])("the text of a connection that was opened again is: %s", (text, resumed) => {
  expect(resumedText({ ...OPEN, closeCode: 1006, ...(resumed && { resumed }) })).toBe(text);
});

test("a closed connection has no text about a resumed one", () => {
  const closed = { phase: "waiting", attempt: 1, closeCode: 1006, resumed: { replayed: 2, gaps: 0 } } as const;
  expect(resumedText(closed)).toBe("Notifications arrive when it is open.");
});

test("the first connection was not interrupted", () => {
  expect(resumedText({ ...OPEN, resumed: { replayed: 2, gaps: 0 } })).toBe("It has not been interrupted.");
});

test("a connection that resumed before this tab was opened is not an effect", () => {
  const resumed = { ...OPEN, closeCode: 1006, resumed: { replayed: 2, gaps: 0 } };
  expect(connectionEffect({ phase: "stopped", attempt: 0 }, resumed)).toBeUndefined();
});

describe("the effects", () => {
  const LOST = "WebSocket: Waiting before the next attempt (retry 1); closed with 1006: the connection was lost";

  let harness: RealtimeHarness;

  provideHarness((created) => {
    harness = created;
  });

  /** Return the texts of the effects of all states that the client has reported. */
  function effects(): (string | undefined)[] {
    const states = harness.events.flatMap((event) => (event.type === "state" ? [event.state] : []));
    return states.flatMap((state, index) => connectionEffect(states[index - 1] ?? { phase: "stopped", attempt: 0 }, state)?.text ?? []);
  }

  /** Lose the connection, and open the next one, in whose welcome frame `head` notifications exist. */
  async function reconnect(head: number, more: Record<string, unknown> = {}): Promise<void> {
    harness.socket.handlers.closed(1006);
    await harness.waitForReconnect();
    await harness.open(head, more);
  }

  test("are not reported for the first connection", async () => {
    await harness.open(1);
    harness.socket.receive(notification(1));
    expect(effects()).toEqual([]);
  });

  test("of a lost connection are its loss, and how it resumed when the missed notifications were delivered", async () => {
    await harness.open(0);
    await reconnect(2);
    harness.socket.receive(notification(1));
    expect(effects()).toEqual([LOST]);
    harness.socket.receive(notification(2), notification(3));
    expect(effects()).toEqual([LOST, "WebSocket: Resumed without gap: 2 notifications replayed."]);
  });

  test("include the resumption if no notification was missed", async () => {
    await harness.open(0);
    await reconnect(0);
    expect(effects()).toEqual([LOST, "WebSocket: Resumed without gap: 0 notifications replayed."]);
  });

  test.each([
    ["lacks one of them", { recovered: true }],
    ["sends none of them", { recovered: false }],
  ])("include the gap if the server %s", async (_, welcome) => {
    await harness.open(0);
    await reconnect(2, welcome);
    harness.socket.receive(notification(2));
    await flush();
    expect(effects()).toEqual([LOST, "WebSocket: Resumed with 1 gap that was read over HTTP: 2 notifications replayed."]);
  });

  test("of a server that drains are the end of the connection and its resumption", async () => {
    await harness.open(0);
    harness.socket.receive({ t: "drain", retry_ms: 100 });
    harness.socket.handlers.closed(1012);
    await harness.waitForReconnect();
    await harness.open(0);
    expect(effects()).toEqual([
      "WebSocket: Waiting before the next attempt (retry 1); closed with 1012: the process ended",
      "WebSocket: Resumed without gap: 0 notifications replayed.",
    ]);
  });
});
