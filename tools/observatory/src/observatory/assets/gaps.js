// The time between a span and its cause: in the outbox, in a stream or in a queue.

import { duration } from "./page.js";

const MIN_DUE_SHARE = 0.5; // a shorter intended wait is not shown separately

/**
 * Return the gap between a span and its cause as `{start, due, end, where}`, null if there is none. `where` is the name of
 * the stream, queue or outbox, "" for other waits. Until `due`, the wait was intended, as for a job with a start time.
 */
export function gap(span, parent) {
  const insert = span.kind === "producer" ? outboxInsert(span, parent) : null;
  const start = insert?.end ?? parent.span.end;
  if (span.start <= start) return null;
  const where = placeOf(span, insert);
  const due = span.start - Number(span.tags.get("hopline.job.wait_s") ?? NaN) * 1_000_000;
  const isIntended = where && due - start > (span.start - start) * MIN_DUE_SHARE;
  return { start, due: isIntended ? Math.round(due) : start, end: span.start, where };
}

/** Return the label of a gap, such as "42.0 ms in events:orders". */
export function shortLabel({ due, end, where }) {
  return `${duration(end - due)} ${where ? `in ${where}` : "after its parent ended"}`;
}

/** Return the label with the intended wait: "15.5 ms in hopline:jobs, due after 2.00 s". */
export function longLabel(gap) {
  return gap.due > gap.start ? `${shortLabel(gap)}, due after ${duration(gap.due - gap.start)}` : shortLabel(gap);
}

/** Return where a span's message waited. A relay publishes from the outbox; a CONSUMER names its source in attributes. */
function placeOf({ kind, tags }, insert) {
  if (insert || (kind === "producer" && tags.has("cloudevents.event_id"))) return "outbox";
  return (kind === "consumer" && tags.get("messaging.destination.name")) || "";
}

function outboxInsert(span, parent) {
  const inserts = parent.children.filter(({ span: other }) => other.end <= span.start && /outbox/.test(`${other.operation} ${other.about}`));
  return inserts.at(-1)?.span;
}
