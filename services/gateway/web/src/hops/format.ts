/** Durations as text. */

const UNITS = [
  { limit: 1, digits: 2, divisor: 1, unit: "ms" },
  { limit: 100, digits: 1, divisor: 1, unit: "ms" },
  { limit: 1_000, digits: 0, divisor: 1, unit: "ms" },
  { limit: 10_000, digits: 2, divisor: 1_000, unit: "s" },
  { limit: Infinity, digits: 1, divisor: 1_000, unit: "s" },
];

/** Return for example `3.1 ms` or `2.04 s`. */
export function formatDuration(milliseconds: number): string {
  const { digits, divisor, unit } = UNITS.find(({ limit }) => milliseconds < limit) ?? { digits: 1, divisor: 1_000, unit: "s" };
  return `${(milliseconds / divisor).toFixed(digits)} ${unit}`;
}
