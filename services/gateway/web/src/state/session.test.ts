import { afterEach, expect, test, vi } from "vitest";

import { FakeLocks, json } from "../testing/fakes";

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  localStorage.clear();
});

test("the refresh is repeated after an hour if the server demands a wait of a month", async () => {
  vi.useFakeTimers();
  const monthInSeconds = 30 * 24 * 3_600;
  const hourMs = 3_600_000;
  const server = vi.fn(json(503, {}, { "Retry-After": String(monthInSeconds) }));
  vi.stubGlobal("fetch", server);
  vi.stubGlobal("navigator", { locks: new FakeLocks() });
  localStorage.setItem("hopline.signed-in", "1");
  const { continueSession } = await import("./session");
  await continueSession();
  await vi.advanceTimersByTimeAsync(hourMs - 1);
  expect(server).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(server).toHaveBeenCalledTimes(2);
});
