import { expect, test } from "vitest";

import { formatDuration } from "./format";

test.each([
  [0, "0.00 ms"],
  [0.314, "0.31 ms"],
  [0.996, "1.0 ms"],
  [3.14, "3.1 ms"],
  [42.42, "42.4 ms"],
  [99.96, "100 ms"],
  [999, "999 ms"],
  [999.6, "1.00 s"],
  [2_043, "2.04 s"],
  [9_996, "10.0 s"],
  [61_000, "61.0 s"],
])("%d milliseconds are %s", (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});
