/** How long to wait before the next attempt to connect. */

const BASE_MS = 500;
const MAX_MS = 30_000;
const LONG_MS = 30_000;

/** Close codes after which an immediate attempt would fail again: too many connections, or frames the server rejects. */
const LONG_WAITS: ReadonlySet<number> = new Set([4429, 1007, 1008]);

/**
 * Return the milliseconds before attempt number `attempt` (from 1).
 *
 * Full jitter: a random part of an exponentially growing time, so that clients that lost the same server spread out.
 */
export function backoff(attempt: number, closeCode: number | undefined, random: () => number): number {
  const exponential = Math.min(MAX_MS, BASE_MS * 2 ** Math.min(attempt, 10));
  const jittered = random() * exponential;
  return closeCode !== undefined && LONG_WAITS.has(closeCode) ? LONG_MS + jittered : jittered;
}
