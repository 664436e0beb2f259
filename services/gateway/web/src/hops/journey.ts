/** The evidence that has arrived about one action. A journey is immutable; the functions return a changed copy. */

import type { ApiCall, ApiCallStart } from "../api/client";
import type { NotificationFrame } from "../realtime/frames";
import type { Trace, TraceSpan } from "./trace";

export interface ReceivedFrame {
  readonly frame: NotificationFrame;
  /** The trace id of the frame's trace context. */
  readonly traceId: string | undefined;
  /** Milliseconds on the clock of `performance.now()`. */
  readonly at: number;
}

export type Call = ApiCallStart & Partial<Pick<ApiCall, "status" | "isAborted" | "duration" | "serverTiming">>;

export interface Journey {
  readonly id: string;
  /** What the user did, for example `place order`. */
  readonly name: string;
  readonly traceId: string;
  /** Milliseconds on the clock of `performance.now()`. */
  readonly startedAt: number;
  readonly calls: readonly Call[];
  readonly frames: readonly ReceivedFrame[];
  readonly spans: readonly TraceSpan[];
  /** Whether the gateway expects no more spans. */
  readonly isTraceComplete: boolean;
  /** Whether the page has stopped looking for evidence. */
  readonly isOver: boolean;
}

const MAX_CALLS = 50;
const MAX_FRAMES = 50;

export function beginJourney(id: string, name: string, traceId: string, startedAt: number): Journey {
  return { id, name, traceId, startedAt, calls: [], frames: [], spans: [], isTraceComplete: false, isOver: false };
}

/** Add a request, or replace it when its response has arrived. */
export function withCall(journey: Journey, call: Call): Journey {
  const isKnown = journey.calls.some(({ id }) => id === call.id);
  // Requests that began at the same time keep their order when one of them ends.
  const all = isKnown ? journey.calls.map((known) => (known.id === call.id ? call : known)) : [...journey.calls, call];
  const calls = all.toSorted((left, right) => left.startedAt - right.startedAt).slice(-MAX_CALLS);
  // If the page sends no trace context, the gateway begins the trace, and only the response contains its id.
  const hasTraceId = call.status !== undefined && call.status !== 0 && call.id === mainCall({ calls })?.id;
  if (!hasTraceId || call.traceId === journey.traceId) return { ...journey, calls };
  return { ...journey, calls, traceId: call.traceId, spans: [], isTraceComplete: false };
}

/** Add a notification if it belongs to the same trace and has not been added. */
export function withFrame(journey: Journey, received: ReceivedFrame): Journey {
  const isKnown = journey.frames.some(({ frame }) => frame.id === received.frame.id && frame.kind === received.frame.kind);
  if (isKnown || received.traceId !== journey.traceId || journey.frames.length >= MAX_FRAMES) return journey;
  return { ...journey, frames: [...journey.frames, received] };
}

/** Replace the spans. An older response that has fewer spans is ignored. */
export function withTrace(journey: Journey, trace: Trace): Journey {
  if (trace.trace_id !== journey.traceId || trace.spans.length < journey.spans.length) return journey;
  return { ...journey, spans: trace.spans, isTraceComplete: trace.complete };
}

export function endJourney(journey: Journey): Journey {
  return { ...journey, isOver: true };
}

/** Collect evidence again, because the request was repeated. */
export function resumeJourney(journey: Journey): Journey {
  return { ...journey, isTraceComplete: false, isOver: false };
}

/** Return the request that the action is about: the first one that changes something, or else the first one. */
export function mainCall({ calls }: Pick<Journey, "calls">): Call | undefined {
  const main = calls.find(({ method }) => method !== "GET") ?? calls[0];
  if (main === undefined) return undefined;
  // The client repeats a request after Retry-After or with a new token. The last attempt is shown.
  return calls.findLast(({ method, url }) => method === main.method && url === main.url);
}

/** Return how often the main request was sent. */
export function attemptsOf(journey: Journey): number {
  const main = mainCall(journey);
  return journey.calls.filter(({ method, url }) => method === main?.method && url === main.url).length;
}

/** Whether the action does more than reading. */
export function isChange(journey: Journey): boolean {
  return journey.calls.some(({ method }) => method !== "GET");
}
