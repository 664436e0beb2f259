// What stands for spans that others name and that have not come: they were lost with their process, or are on their way.

/**
 * Return what stands for parents that are not here, and for what a later try links to. A later try did the same for
 * the same reason, so it tells what the lost one was and where it belongs; without one, only that children are there.
 * Where nobody is the root, a request came from outside, and what called it is not ours to tell.
 */
export function lostSpans(spans) {
  const come = new Set(spans.map(({ id }) => id));
  if (spans.every(({ parentId }) => parentId)) for (const { kind, parentId } of spans) if (kind === "server") come.add(parentId);
  const known = new Map();
  const note = (id, role, span) => {
    if (id && !come.has(id)) known.set(id, { ...known.get(id), [role]: span, start: Math.min(span.start, known.get(id)?.start ?? Infinity) });
  };
  for (const span of spans) {
    note(span.parentId, "child", span);
    for (const { traceID, spanID } of span.links) if (traceID === span.traceId && spanID !== span.parentId) note(spanID, "later", span);
  }
  return [...known].map(([id, { later, start }]) => standIn(id, later ?? { service: "unknown", operation: "span", about: "", parentId: "" }, start));
}

function standIn(id, { service, operation, about, parentId }, start) {
  return { id, parentId, links: [], service, operation, about, start, end: start, duration: 0, kind: "", failed: false, lost: true, tags: new Map(), events: [], process: new Map() };
}
