import { expect, test } from "vitest";

import { formatDuration } from "./format";

test.each([
  [0, "0.00 ms"],
  [0.314, "0.31 ms"],
  [3.14, "3.1 ms"],
  [42.42, "42.4 ms"],
  [999, "999 ms"],
  [2_043, "2.04 s"],
  [61_000, "61.0 s"],
])("%d milliseconds are %s", (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});
