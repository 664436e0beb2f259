/** The spans of a trace as the rows of a waterfall. */

import { childrenOf, endOf, type TraceSpan } from "./trace";

export interface Row {
  readonly span: TraceSpan;
  /** 0 for a root. */
  readonly depth: number;
  readonly parent: TraceSpan | undefined;
  /** Whether the span has a parent that has not arrived. */
  readonly isOrphan: boolean;
  /** Milliseconds since the first span. */
  readonly startedAt: number;
  /** Position and width of the bar, 0 to 1. */
  readonly left: number;
  readonly width: number;
}

/** A pause in which no span ran. It is drawn shorter than the other times. */
export interface Fold {
  readonly position: number;
  readonly milliseconds: number;
}

export interface Waterfall {
  readonly rows: readonly Row[];
  readonly folds: readonly Fold[];
  /** Milliseconds from the first to the last moment. */
  readonly duration: number;
}

/** Pauses of at least this time are folded. */
const MIN_FOLDED_US = 100_000;
/** Part of the width that one fold takes. All folds together take at most `MAX_FOLDED_SHARE`. */
const FOLDED_SHARE = 0.04;
const MAX_FOLDED_SHARE = 0.5;

interface Interval {
  readonly start: number;
  readonly end: number;
}

/** Return the rows, each below its parent, siblings in the order of their start. */
export function createWaterfall(spans: readonly TraceSpan[]): Waterfall {
  const busy = busyIntervals(spans);
  const begin = busy[0]?.start ?? 0;
  const end = busy.at(-1)?.end ?? 0;
  const scale = createScale(busy);
  const rows: Row[] = [];
  const children = childrenOf(spans);
  const add = (span: TraceSpan, depth: number, parent: TraceSpan | undefined): void => {
    const left = scale.position(span.start_us);
    const isOrphan = parent === undefined && span.parent_span_id !== null;
    const startedAt = (span.start_us - begin) / 1000;
    rows.push({ span, depth, parent, isOrphan, startedAt, left, width: scale.position(endOf(span)) - left });
    for (const child of children.get(span.span_id) ?? []) add(child, depth + 1, span);
  };
  for (const root of children.get(undefined) ?? []) add(root, 0, undefined);
  return { rows, folds: scale.folds, duration: (end - begin) / 1000 };
}

/** Return the intervals in which at least one span ran, in order and without overlap. */
function busyIntervals(spans: readonly TraceSpan[]): Interval[] {
  const intervals: Interval[] = [];
  for (const span of [...spans].sort((left, right) => left.start_us - right.start_us)) {
    const last = intervals.at(-1);
    if (last === undefined || span.start_us > last.end) intervals.push({ start: span.start_us, end: endOf(span) });
    else intervals[intervals.length - 1] = { start: last.start, end: Math.max(last.end, endOf(span)) };
  }
  return intervals;
}

/** Return a time scale on which long pauses take a fixed share, so that the work between them stays visible. */
function createScale(busy: readonly Interval[]): { position: (time: number) => number; folds: Fold[] } {
  const pieces: (Interval & { readonly isFolded: boolean })[] = [];
  for (const [index, interval] of busy.entries()) {
    const previous = busy[index - 1];
    if (previous !== undefined) {
      const isFolded = interval.start - previous.end >= MIN_FOLDED_US;
      pieces.push({ start: previous.end, end: interval.start, isFolded });
    }
    pieces.push({ ...interval, isFolded: false });
  }
  const folded = pieces.filter(({ isFolded }) => isFolded).length;
  const unfolded = pieces.reduce((sum, { start, end, isFolded }) => sum + (isFolded ? 0 : end - start), 0) || 1;
  const share = Math.min(FOLDED_SHARE, MAX_FOLDED_SHARE / Math.max(folded, 1));
  const widths = pieces.map(({ start, end, isFolded }) =>
    isFolded ? share : ((end - start) / unfolded) * (1 - share * folded),
  );
  const position = (time: number): number => {
    let left = 0;
    for (const [index, { start, end }] of pieces.entries()) {
      const width = widths[index] ?? 0;
      if (time <= end) return left + (end === start ? 0 : width * Math.max(0, (time - start) / (end - start)));
      left += width;
    }
    return 1;
  };
  const folds = pieces
    .filter(({ isFolded }) => isFolded)
    .map(({ start, end }) => ({ position: position((start + end) / 2), milliseconds: (end - start) / 1000 }));
  return { position, folds };
}
