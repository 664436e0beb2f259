import { afterEach, expect, test, vi } from "vitest";

import { FakeLocks, json } from "../testing/fakes";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  localStorage.clear();
});

test("a server that demands a wait of a month is asked again after an hour", async () => {
  vi.useFakeTimers();
  const server = vi.fn(json(503, {}, { "Retry-After": String(30 * 24 * 3_600) }));
  vi.stubGlobal("fetch", server);
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
  localStorage.setItem("hopline.signed-in", "1");
  const { continueSession } = await import("./session");
  await continueSession();
  await vi.advanceTimersByTimeAsync(3_599_999);
  expect(server).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(server).toHaveBeenCalledTimes(2);
});
