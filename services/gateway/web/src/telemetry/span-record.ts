/** A span that has ended, before the SDK exports it. */

export type SpanKind = "internal" | "client" | "consumer";

export interface SpanRecord {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  /** Missing for the root of a trace. */
  readonly parentSpanId?: string | undefined;
  /** Milliseconds since the epoch, as `endedAt`. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly failed: boolean;
}

const MAX_CLOCK_DIFFERENCE_MS = 100;

/**
 * Convert a time of `performance.now()` to milliseconds since the epoch.
 *
 * The conversion by `performance.timeOrigin` is more precise than by `Date.now()`. But some browsers stop the clock of
 * `performance.now()` while the computer sleeps, and then both differ.
 */
export function toEpoch(time: number): number {
  const origin = Date.now() - performance.now();
  const isUsable = Math.abs(origin - performance.timeOrigin) < MAX_CLOCK_DIFFERENCE_MS;
  return time + (isUsable ? performance.timeOrigin : origin);
}
