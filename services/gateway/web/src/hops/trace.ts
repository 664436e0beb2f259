/** A trace as the gateway returns it: `GET /browser/traces/{trace_id}`. */

export type Attribute = string | number | boolean;

export interface TraceSpan {
  readonly span_id: string;
  readonly parent_span_id: string | null;
  readonly name: string;
  readonly service: string;
  readonly kind: string;
  /** Microseconds since the epoch, on the clock of the service's host. */
  readonly start_us: number;
  readonly duration_us: number;
  readonly status: string;
  /** The reason of a failure. */
  readonly error: string | null;
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface Trace {
  readonly trace_id: string;
  readonly spans: readonly TraceSpan[];
  /** Whether the gateway expects no more spans. */
  readonly complete: boolean;
}

export function endOf(span: TraceSpan): number {
  return span.start_us + span.duration_us;
}

export function hasFailed(span: TraceSpan): boolean {
  return span.status.toLowerCase() === "error";
}

/** Return why a span failed: the exception, or the problem or status of the response. */
export function reasonOf(span: TraceSpan): string {
  if (span.error) return span.error;
  const { attributes } = span;
  const parts = [attributes["http.response.status_code"], attributes["hopline.problem"] ?? attributes["error.type"]];
  const known = [...new Set(parts.filter((part) => part !== undefined).map(String))];
  return known.join(" ") || "the span has the status error";
}

/** Return the children of each span id, in the order of their start. Roots and orphans are the children of undefined. */
export function childrenOf(spans: readonly TraceSpan[]): Map<string | undefined, TraceSpan[]> {
  const ids = new Set(spans.map((span) => span.span_id));
  const children = new Map<string | undefined, TraceSpan[]>();
  for (const span of [...spans].sort((left, right) => left.start_us - right.start_us)) {
    const parent = span.parent_span_id !== null && ids.has(span.parent_span_id) ? span.parent_span_id : undefined;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [span]);
    else siblings.push(span);
  }
  return children;
}
