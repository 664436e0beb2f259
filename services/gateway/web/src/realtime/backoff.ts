/** How long to wait before the next attempt to connect. */

const BASE_MS = 500;
const MAX_MS = 30_000;
/** Added to the delay after a close code in `LONG_WAIT_CLOSE_CODES`. */
const LONG_WAIT_MS = 30_000;
/** Maximum delay that a server can demand. `setTimeout` calls back immediately if the delay exceeds 2^31 - 1 milliseconds. */
const MAX_DEMANDED_MS = 3_600_000;

/** Close codes after which an early attempt would fail again: too many connections, or frames that the server rejects. */
const LONG_WAIT_CLOSE_CODES: ReadonlySet<number> = new Set([4429, 1007, 1008]);

/** Limit a delay, in milliseconds, that a server demands. */
export function limitDelay(demanded: number): number {
  return Math.min(MAX_DEMANDED_MS, demanded);
}

/**
 * Return the milliseconds before attempt number `attempt` (from 1).
 *
 * Full jitter: a random part of an exponentially growing time, so that clients that lost the same server spread out.
 */
export function backoff(attempt: number, closeCode: number | undefined, random: () => number): number {
  const exponential = Math.min(MAX_MS, BASE_MS * 2 ** attempt);
  const jittered = random() * exponential;
  return closeCode !== undefined && LONG_WAIT_CLOSE_CODES.has(closeCode) ? LONG_WAIT_MS + jittered : jittered;
}
