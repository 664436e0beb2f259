/** Durations as text. */

/** From `limit` on, the rounded value would have one more significant digit. */
const RANGES = [
  { limit: 0.995, digits: 2, divisor: 1, unit: "ms" },
  { limit: 99.95, digits: 1, divisor: 1, unit: "ms" },
  { limit: 999.5, digits: 0, divisor: 1, unit: "ms" },
  { limit: 9_995, digits: 2, divisor: 1_000, unit: "s" },
];
const LONGER = { digits: 1, divisor: 1_000, unit: "s" };

/** Format a duration in milliseconds, for example as `3.1 ms` or `2.04 s`. */
export function formatDuration(milliseconds: number): string {
  const { digits, divisor, unit } = RANGES.find(({ limit }) => milliseconds < limit) ?? LONGER;
  return `${(milliseconds / divisor).toFixed(digits)} ${unit}`;
}
