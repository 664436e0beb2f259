// The time between a span and what caused it: in the outbox, in a stream, in a queue.

import { duration } from "./page.js";

const WORTH_SAYING = 0.5; // of a gap: where less of it was meant, that is not worth a word

/** What a gap says, such as "42.0 ms in events:orders". */
export function sentence({ start, end, where, due }) {
  const meant = due > (end - start) * WORTH_SAYING ? `, ${duration(due)} of it until due` : "";
  return where ? `${duration(end - start)} in ${where}${meant}` : `${duration(end - start)} after its parent ended`;
}

/**
 * What lies between a span and what caused it: `{start, end, where}`, null when nothing does. `where` names the stream,
 * queue or outbox, and is "" for a wait of another kind. `due` is the part that was meant, until a job's time had come.
 */
export function gap(span, parent) {
  const channel = span.tags.get("messaging.destination.name");
  const sealed = span.kind === "producer" ? outboxInsert(span, parent) : null;
  const start = sealed?.end ?? parent.span.end;
  if (span.start <= start) return null;
  const where = sealed ? "outbox" : span.kind === "consumer" && channel ? channel : "";
  const waited = Number(span.tags.get("hopline.job.wait_s") ?? NaN) * 1_000_000;
  const due = where && waited < span.start - start ? Math.round(span.start - start - waited) : 0;
  return { start, end: span.start, where, due };
}

function outboxInsert(span, parent) {
  const inserts = parent.children.filter(({ span: other }) => other.end <= span.start && /outbox/.test(`${other.operation} ${other.about}`));
  return inserts.at(-1)?.span;
}
