// The time between a span and what caused it: in the outbox, in a stream, in a queue.

import { duration } from "./page.js";

const WORTH_SAYING = 0.5; // of a gap: where less of it was meant, that is not worth a word

/**
 * What lies between a span and what caused it: `{start, due, end, where}`, null when nothing does. `where` names the
 * stream, queue or outbox, and is "" for a wait of another kind. Until `due` it was meant to wait, as a job until its time.
 */
export function gap(span, parent) {
  const sealed = span.kind === "producer" ? outboxInsert(span, parent) : null;
  const start = sealed?.end ?? parent.span.end;
  if (span.start <= start) return null;
  const where = placeOf(span, sealed);
  const due = span.start - Number(span.tags.get("hopline.job.wait_s") ?? NaN) * 1_000_000;
  const meant = where && due - start > (span.start - start) * WORTH_SAYING;
  return { start, due: meant ? Math.round(due) : start, end: span.start, where };
}

/** What a gap says, such as "42.0 ms in events:orders". */
export function short({ due, end, where }) {
  return `${duration(end - due)} ${where ? `in ${where}` : "after its parent ended"}`;
}

/** The same with what was meant of it: "15.5 ms in hopline:jobs, due after 2.00 s". */
export function sentence(gap) {
  return gap.due > gap.start ? `${short(gap)}, due after ${duration(gap.due - gap.start)}` : short(gap);
}

/** A relay publishes an event from the outbox; a CONSUMER takes what it takes from where its attributes say. */
function placeOf({ kind, tags }, sealed) {
  if (sealed || (kind === "producer" && tags.has("cloudevents.event_id"))) return "outbox";
  return (kind === "consumer" && tags.get("messaging.destination.name")) || "";
}

function outboxInsert(span, parent) {
  const inserts = parent.children.filter(({ span: other }) => other.end <= span.start && /outbox/.test(`${other.operation} ${other.about}`));
  return inserts.at(-1)?.span;
}
