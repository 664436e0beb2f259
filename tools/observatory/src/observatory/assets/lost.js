// Replacements of spans that others refer to but that were not received: lost with their process, or not yet exported.

/**
 * Return replacements of missing parents and missing linked spans. A repeated attempt has the same operation and parent as
 * the lost span that it links to, so both are copied from it. Without such an attempt, only the children are known. If no
 * span is a root, the requests to the service of the first server span came from outside, and their callers are not lost.
 */
export function lostSpans(spans) {
  const received = new Set(spans.map(({ id }) => id));
  const servers = spans.filter(({ kind }) => kind === "server").sort((a, b) => a.start - b.start);
  if (spans.every(({ parentId }) => parentId)) for (const { service, parentId } of servers) if (service === servers[0].service) received.add(parentId);
  const known = new Map();
  const addReference = (id, role, span) => {
    if (id && !received.has(id)) known.set(id, { ...known.get(id), [role]: span, start: Math.min(span.start, known.get(id)?.start ?? Infinity) });
  };
  for (const span of spans) {
    addReference(span.parentId, "child", span);
    for (const { traceID, spanID } of span.links) if (traceID === span.traceId && spanID !== span.parentId) addReference(spanID, "later", span);
  }
  return [...known].map(([id, { later, start }]) => replacement(id, later ?? { service: "unknown", operation: "span", about: "", parentId: "" }, start));
}

function replacement(id, { service, operation, about, parentId }, start) {
  return { id, parentId, links: [], service, operation, about, start, end: start, duration: 0, kind: "", failed: false, lost: true, tags: new Map(), events: [], process: new Map() };
}
