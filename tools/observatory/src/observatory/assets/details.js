// The details of one span, created when it is opened.

import { longLabel } from "./gaps.js";
import { clock, duration, el, moment } from "./page.js";

const TRACE = location.pathname.split("/").at(-1);

export function details({ span, parent, children, gap }, origin) {
  if (span.lost) return [section("Span", table([["this span", `${span.id}, which was not received: its process ended before the export`]]))];
  const facts = [
    ["started", `${moment(span.start)}, ${after(span.start, origin)}`],
    ["ended", `${clock(span.end)}, ${after(span.end, origin)}`],
    ["self time", `${duration(selfTime(span, children))} of ${duration(span.duration)} outside its children`],
    ["waited", gap && longLabel(gap)],
    ["parent", parent ? link(TRACE, parent.span.id, `${parent.span.service} ${parent.span.operation}`) : span.parentId && `${span.parentId}, which was not received: the request came from outside`],
    ...span.links.map(({ traceID, spanID }) => ["follows from", link(traceID, spanID, traceID === TRACE ? spanID : `${spanID} in trace ${traceID}`)]),
    ["this span", link(TRACE, span.id, span.id)],
  ];
  return [
    el("div", {}, section("Span", table(facts)), section("Process", table([...span.process]))),
    el("div", {}, section("Attributes", table([...span.tags])), ...span.events.map((event) => eventSection(event, origin))),
  ];
}

function eventSection({ time, fields }, origin) {
  return section(`Event: ${fields.get("event") ?? "unnamed"}, ${after(time, origin)}`, table([...fields].filter(([key]) => key !== "event")));
}

function section(title, content) {
  return el("section", {}, el("h3", {}, title), content);
}

function table(facts) {
  const rows = facts.filter(([, value]) => value || value === 0 || value === false)
    .map(([key, value]) => el("tr", {}, el("th", { scope: "row" }, key), el("td", {}, typeof value === "object" ? value : formatted(String(value)))));
  return rows.length ? el("table", {}, el("tbody", {}, ...rows)) : el("p", { class: "quiet" }, "none");
}

function formatted(text) {
  return text.includes("\n") ? el("pre", {}, withoutIndentation(text)) : text;
}

/** Return the text without the common indentation of its lines. */
function withoutIndentation(text) {
  const lines = text.split("\n").filter((line, index, all) => line.trim() || (index > 0 && index < all.length - 1));
  const shared = Math.min(...lines.filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return lines.map((line) => line.slice(shared)).join("\n");
}

function link(trace, span, text) {
  const own = trace === TRACE;
  return el("a", { href: `${own ? "" : `/trace/${encodeURIComponent(trace)}`}#${encodeURIComponent(span)}` }, text);
}

function after(time, origin) {
  return `+${duration(Math.max(0, time - origin))}`;
}

/** Return the time in which the span, but none of its children, ran. `children` are sorted by start. */
function selfTime(span, children) {
  let covered = 0;
  let reached = span.start;
  for (const { span: child } of children) {
    const from = Math.max(reached, child.start);
    const to = Math.min(span.end, child.end);
    if (to > from) [covered, reached] = [covered + to - from, to];
  }
  return span.duration - covered;
}
