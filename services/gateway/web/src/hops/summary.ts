/** The state of an action in one sentence, for screen readers. */

import type { Journey } from "./journey";
import { hopsOf } from "./model";

/** Return for example `place order: 7 of 11 hops reached, 1 failed.` */
export function summaryOf(journey: Journey): string {
  const hops = hopsOf(journey);
  const reached = hops.filter(({ state }) => state === "reached").length;
  const failed = hops.filter(({ state }) => state === "failed").length;
  const failures = failed === 0 ? "" : `, ${failed} failed`;
  const end = journey.isOver ? " Nothing more is expected." : "";
  return `${journey.name}: ${reached} of ${hops.length} hops reached${failures}.${end}`;
}
