/**
 * The common timeline of the hops.
 *
 * It is logarithmic: the response takes milliseconds, the shipment seconds, and both have to be visible.
 */

import type { Hop } from "./model";

export interface Tick {
  readonly milliseconds: number;
  readonly position: number;
}

const TICKS = [1, 10, 100, 1_000, 10_000, 60_000];
const SHORTEST_MS = 100;

export interface Timeline {
  /** Return the position of a time, 0 to 1. */
  readonly position: (milliseconds: number) => number;
  readonly ticks: readonly Tick[];
}

export function createTimeline(hops: readonly Hop[]): Timeline {
  const last = Math.max(SHORTEST_MS, ...hops.map(({ at = 0 }) => at));
  const position = (milliseconds: number): number => Math.log1p(Math.max(0, milliseconds)) / Math.log1p(last);
  const ticks = TICKS.filter((milliseconds) => milliseconds < last * 0.9);
  return { position, ticks: ticks.map((milliseconds) => ({ milliseconds, position: position(milliseconds) })) };
}
