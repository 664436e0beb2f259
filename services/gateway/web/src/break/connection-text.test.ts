import { expect, test } from "vitest";

import type { ConnectionState } from "../realtime/frames";
import { connectionEffect, connectionText, resumedText } from "./connection-text";

const OPEN: ConnectionState = { phase: "open", attempt: 0 };

test("an open connection has neither failed attempts nor a reason", () => {
  const before = { attempt: 2, closeCode: 1006 };
  expect(connectionText({ phase: "open", ...before })).toBe("Open");
  expect(connectionText({ phase: "draining", ...before })).toBe("Open until the server closes it");
});

test("a waiting connection shows the attempts and the reason", () => {
  const state = { phase: "waiting", attempt: 2, closeCode: 1006 } as const;
  expect(connectionText(state)).toBe("Waiting before the next attempt, 2 failed attempts; closed with 1006: the connection was lost");
});

test.each([
  [undefined, "It has not been interrupted."],
  [{ replayed: 3, gaps: 0 }, "Resumed without gap: 3 notifications replayed."],
  [{ replayed: 1, gaps: 1 }, "Resumed with 1 gap that was read over HTTP: 1 notification replayed."],
])("a resumed connection shows what was replayed %#", (resumed, text) => {
  expect(resumedText({ ...OPEN, closeCode: 1006, ...(resumed && { resumed }) })).toBe(text);
});

test("a closed connection has not been resumed", () => {
  const closed = { phase: "waiting", attempt: 1, closeCode: 1006, resumed: { replayed: 2, gaps: 0 } } as const;
  expect(resumedText(closed)).toBe("Notifications arrive when it is open.");
});

test("the first connection is not an interruption", () => {
  expect(resumedText({ ...OPEN, resumed: { replayed: 2, gaps: 0 } })).toBe("It has not been interrupted.");
  expect(connectionEffect({ phase: "connecting", attempt: 0 }, OPEN)).toBeUndefined();
});

test("an interruption and its end are effects", () => {
  const waiting = { phase: "waiting", attempt: 1, closeCode: 1006 } as const;
  const resumed = { ...OPEN, closeCode: 1006, resumed: { replayed: 2, gaps: 0 } };
  expect(connectionEffect(OPEN, waiting)).toMatchObject({ severity: "bad" });
  expect(connectionEffect(waiting, { ...waiting, phase: "connecting" })).toBeUndefined();
  expect(connectionEffect({ ...waiting, phase: "connecting" }, resumed)).toEqual({
    severity: "good",
    text: "WebSocket: Resumed without gap: 2 notifications replayed.",
  });
});
