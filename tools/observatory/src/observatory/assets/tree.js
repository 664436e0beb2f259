// Converts Jaeger's JSON to spans in display order, each with its wait. Times are microseconds.

import { about } from "./about.js";
import { gap } from "./gaps.js";

/** Return the spans of one item of `data` of /api/traces/{id}. */
export function spansOf({ spans, processes }) {
  return spans.map((span) => {
    const tags = new Map(span.tags.map(({ key, value }) => [key, value]));
    return {
      id: span.spanID,
      traceId: span.traceID,
      parentId: span.references.find(({ refType }) => refType === "CHILD_OF")?.spanID ?? "",
      links: span.references.filter(({ refType }) => refType === "FOLLOWS_FROM"),
      service: processes[span.processID].serviceName,
      operation: span.operationName,
      about: about(span.operationName, tags),
      start: span.startTime,
      end: span.startTime + span.duration,
      duration: span.duration,
      kind: tags.get("span.kind") ?? "",
      lost: false,
      failed: String(tags.get("error")) === "true",
      tags,
      events: span.logs.map(({ timestamp, fields }) => ({ time: timestamp, fields: new Map(fields.map(({ key, value }) => [key, value])) })),
      process: new Map(processes[span.processID].tags.map(({ key, value }) => [key, value])),
    };
  });
}

/**
 * Return `[{span, parent, depth, children, gap}]`, parents before their children, children by start. A span without a
 * received parent is at the top, and so is a span of a cycle in invalid data.
 */
export function tree(spans) {
  const nodes = new Map(spans.map((span) => [span.id, { span, parent: null, depth: 0, children: [], gap: null }]));
  const byStart = [...nodes.values()].sort((a, b) => a.span.start - b.span.start || b.span.lost - a.span.lost || b.span.end - a.span.end);
  for (const node of byStart) nodes.get(node.span.parentId)?.children.push(node);
  const ordered = [];
  const seen = new Set();
  const visit = (top) => {
    const waiting = [[top, null]];
    while (waiting.length) {
      const [node, parent] = waiting.pop();
      if (seen.has(node)) continue;
      seen.add(node);
      Object.assign(node, { parent, depth: parent ? parent.depth + 1 : 0, gap: parent && !node.span.lost && !parent.span.lost ? gap(node.span, parent) : null });
      ordered.push(node);
      for (const child of node.children.toReversed()) waiting.push([child, node]);
    }
  };
  for (const node of byStart) if (!nodes.has(node.span.parentId)) visit(node);
  for (const node of byStart) visit(node);
  for (const node of ordered) node.children = node.children.filter((child) => child.parent === node);
  return ordered;
}
