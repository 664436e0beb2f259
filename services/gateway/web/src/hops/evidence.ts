/** Derives the state of a planned hop from the spans and notifications that have arrived. */

import type { Journey } from "./journey";
import type { HopPlan, SpanPattern } from "./plans";
import { endOf, hasFailed, reasonOf, type TraceSpan } from "./trace";

export interface Evidence {
  /** "waiting" without evidence, "reached" if it proves a successful attempt, "failed" if all attempts so far failed. */
  readonly state: "waiting" | "reached" | "failed";
  readonly source?: "response" | "notification" | "span";
  /** Milliseconds since the action began. */
  readonly at?: number;
  /** Milliseconds. */
  readonly duration?: number;
  readonly reason?: string;
}

const WAITING: Evidence = { state: "waiting" };

/** Return the state of a planned hop. `toTime` converts microseconds since the epoch to milliseconds of the action. */
export function evidenceOf(plan: HopPlan, journey: Journey, toTime: (microseconds: number) => number): Evidence {
  const attempts = attemptsAt(journey.spans, plan.span);
  const success = attempts.find((span) => !hasFailed(span));
  const failures = (plan.caller === undefined ? attempts : matching(journey.spans, plan.caller)).filter(hasFailed);
  const lastFailure = failures.at(-1);
  const frame = journey.frames.find((received) => received.frame.kind === plan.frame);
  if (frame === undefined && success === undefined) {
    if (lastFailure === undefined) return WAITING;
    const reason = `${describeCount(failures)}, the last one: ${reasonOf(lastFailure)}`;
    return { state: "failed", source: "span", at: toTime(endOf(lastFailure)), reason };
  }
  const duration = success === undefined ? {} : { duration: success.duration_us / 1000 };
  const reason = failures.length === 0 ? {} : { reason: `after ${describeCount(failures)}` };
  if (frame !== undefined) {
    return { state: "reached", source: "notification", at: frame.at - journey.startedAt, ...duration, ...reason };
  }
  return { state: "reached", source: "span", ...(success && { at: toTime(endOf(success)) }), ...duration, ...reason };
}

function describeCount(failures: readonly TraceSpan[]): string {
  return failures.length === 1 ? "1 failed attempt" : `${failures.length} failed attempts`;
}

/** Return the attempts at the first work that matches: the spans with the same cause, in the order of their start. */
function attemptsAt(spans: readonly TraceSpan[], pattern: SpanPattern | undefined): TraceSpan[] {
  const all = matching(spans, pattern);
  const byId = new Map(spans.map((span) => [span.span_id, span]));
  const [first] = all;
  if (first === undefined) return [];
  const message = messageOf(first, byId);
  return all.filter((span) => messageOf(span, byId) === message);
}

/**
 * Return the id of the span that published or processed the message that caused this span.
 *
 * It is the same for all attempts at an event or a job. The names do not suffice, because later messages of the same order
 * have spans with the same names.
 */
function messageOf(span: TraceSpan, byId: ReadonlyMap<string, TraceSpan>): string | undefined {
  let parent = byId.get(span.parent_span_id ?? "");
  for (let depth = 0; parent !== undefined && depth < byId.size; depth += 1) {
    if (/^(process|publish) /.test(parent.name)) return parent.span_id;
    parent = byId.get(parent.parent_span_id ?? "");
  }
  return undefined;
}

function matching(spans: readonly TraceSpan[], pattern: SpanPattern | undefined): TraceSpan[] {
  if (pattern === undefined) return [];
  return spans
    .filter((span) => span.service === pattern.service && pattern.name.test(span.name))
    .sort((left, right) => left.start_us - right.start_us);
}
