import { expect, test } from "vitest";

import type { ConnectionState } from "../realtime/frames";
import { connectionEffect, connectionText, resumedText } from "./connection-text";

const OPEN: ConnectionState = { phase: "open", attempt: 0 };

test("the text of an open connection has neither failed attempts nor a reason", () => {
  const earlier = { attempt: 2, closeCode: 1006 };
  expect(connectionText({ phase: "open", ...earlier })).toBe("Open");
  expect(connectionText({ phase: "draining", ...earlier })).toBe("Open until the server closes it");
});

test("the text of a waiting connection has the failed attempts and the reason", () => {
  const state = { phase: "waiting", attempt: 2, closeCode: 1006 } as const;
  expect(connectionText(state)).toBe("Waiting before the next attempt, 2 failed attempts; closed with 1006: the connection was lost");
});

test.each([
  ["It has not been interrupted.", undefined],
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
