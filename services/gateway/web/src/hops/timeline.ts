/**
 * The common timeline of the hops.
 *
 * It is logarithmic, because the response takes milliseconds and the shipment seconds, and both have to be visible.
 */

import type { Hop } from "./model";

export interface Tick {
  readonly milliseconds: number;
  readonly position: number;
}

const TICKS = [1, 10, 100, 1_000, 10_000, 60_000];
/** The timeline covers at least this time. */
const SHORTEST_MS = 100;
/** The label of a tick near the end of the timeline would exceed the panel. */
const LAST_TICK = 0.9;

export interface Timeline {
  /** Return the position of a time, 0 to 1. */
  readonly position: (milliseconds: number) => number;
  readonly ticks: readonly Tick[];
}

export function createTimeline(hops: readonly Hop[]): Timeline {
  const last = Math.max(SHORTEST_MS, ...hops.map(({ at = 0 }) => at));
  const position = (milliseconds: number): number => Math.log1p(Math.max(0, milliseconds)) / Math.log1p(last);
  const ticks = TICKS.filter((milliseconds) => milliseconds < last * LAST_TICK);
  return { position, ticks: ticks.map((milliseconds) => ({ milliseconds, position: position(milliseconds) })) };
}
