import { expect, test } from "vitest";

import type { Hop } from "./model";
import { createTimeline } from "./timeline";

function hops(...times: number[]): Hop[] {
  return times.map((at) => ({ id: String(at), label: "", service: "x", state: "reached", at }));
}

test("the first moment is at the beginning and the last hop at the end", () => {
  const { position } = createTimeline(hops(12, 4_000));
  expect(position(0)).toBe(0);
  expect(position(4_000)).toBe(1);
  expect(position(-5)).toBe(0);
});

test("hops that are milliseconds apart stay distinguishable beside seconds", () => {
  const { position } = createTimeline(hops(12, 4_000));
  expect(position(12)).toBeGreaterThan(0.25);
  expect(position(40)).toBeGreaterThan(position(12) + 0.1);
});

test("ticks are the powers of ten up to the last hop", () => {
  expect(createTimeline(hops(12, 4_000)).ticks.map(({ milliseconds }) => milliseconds)).toEqual([1, 10, 100, 1_000]);
  expect(createTimeline([]).ticks.map(({ milliseconds }) => milliseconds)).toEqual([1, 10]);
});
