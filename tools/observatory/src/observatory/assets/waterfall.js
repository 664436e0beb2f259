// The waterfall: a row for each span below its parent, with its log records; the wait is drawn before its bar.

import { details } from "./details.js";
import { longLabel, shortLabel } from "./gaps.js";
import { logLine } from "./log.js";
import { counted, duration, el, neighbour, service, serviceClass } from "./page.js";

const MIN_LABEL_SPACE = 45; // percent of the width, for the longest label

/** Return the drawing of the nodes on the timeline. `linesOf` and `mailOf` return the records and the email of a span. */
export function waterfall({ nodes, time, origin, linesOf, mailOf }) {
  const list = el("ol", { class: "spans", "aria-label": "Spans" });
  for (const node of nodes) list.append(row(node, { time, origin, lines: linesOf(node.span.id), mail: mailOf(node.span) }));
  const nodeOf = new Map(nodes.map((node) => [node.span.id, node]));
  list.addEventListener("click", (event) => handleClick(event, nodeOf));
  return list;
}

function handleClick(event, nodeOf) {
  const item = event.target.closest("li.span");
  if (!item || event.target.closest("a, .lines, .details, span.twist") || getSelection().type === "Range") return;
  const node = nodeOf.get(item.id);
  if (event.target.closest(".twist")) unfold(node, item.querySelector(".twist").ariaExpanded === "false");
  else if (event.target.closest(".grid")) open(item, item.querySelector(".open").ariaExpanded === "false");
}

/** Show or hide the children of a span; the state of its children does not change. */
export function unfold(node, shown) {
  const twist = document.getElementById(node.span.id).querySelector(".twist");
  if (!node.children.length) return;
  twist.ariaExpanded = String(shown);
  const below = [...node.children];
  while (below.length) {
    const child = below.pop();
    const item = document.getElementById(child.span.id);
    item.hidden = !shown;
    if (!shown || item.querySelector(".twist").ariaExpanded !== "false") below.push(...child.children);
  }
}

/** Show or hide a span's details, which are created on first use. */
export function open(item, shown) {
  item.querySelector(".open").ariaExpanded = String(shown);
  const place = item.querySelector(".details");
  if (shown && !place.hasChildNodes()) place.append(...item.makeDetails());
  place.hidden = !shown;
}

function row(node, { time, origin, lines, mail }) {
  const { span, depth, children } = node;
  const item = el("li", { class: `span ${serviceClass(span.service)}${span.failed ? " failed" : ""}${span.lost ? " lost" : ""}`, id: span.id, style: { "--depth": Math.min(depth, 20) } },
    el("div", { class: "grid" },
      el("div", { class: "name" },
        el("span", { class: "sr" }, `Level ${depth + 1}: `),
        children.length ? el("button", { class: "twist", type: "button", "aria-expanded": "true", "aria-label": counted(children.length, "child span") }) : el("span", { class: "twist" }),
        el("button", { class: "open", type: "button", "aria-expanded": "false", "aria-controls": `of-${span.id}`, title: span.operation },
          service(span.service), " ", span.operation, span.about ? el("span", { class: "quiet" }, ` ${span.about}`) : null),
        ...marks(span, mail)),
      el("div", { class: "took number" }, span.lost ? "" : duration(span.duration)),
      el("div", { class: "track" }, el("div", { class: "lane" }, ...(span.lost ? [] : drawn(node, time))))),
    lines.length ? el("ul", { class: "lines", "aria-label": "Log records" }, ...lines.map((line) => logLine(line, origin))) : null,
    el("div", { class: "details", id: `of-${span.id}`, hidden: true }));
  item.makeDetails = () => details(node, origin);
  return item;
}

function* marks(span, mail) {
  if (span.lost) yield el("span", { class: "bad", title: "other spans refer to it, but it was not received" }, "† lost with its process");
  if (span.failed) yield el("span", { class: "bad" }, "failed");
  if (span.links.length) yield el("span", { class: "mark", title: "follows from other spans, see its details" }, `↪ ${counted(span.links.length, "link")}`);
  if (mail) yield el("a", { class: "mark", href: neighbour(8025, `/view/${encodeURIComponent(mail.id)}`), title: mail.subject }, "✉ email");
}

function* drawn({ span, gap }, time) {
  const from = time.at(span.start);
  const to = time.at(span.end);
  if (gap?.due > gap?.start) yield before("gap undue", time.at(gap.start), time.at(gap.due), "not yet due");
  if (gap) yield before(gap.where ? "gap" : "wait", time.at(gap.due), from, longLabel(gap));
  yield placed(span.failed ? "bar bad" : "bar", from, to);
  if (gap?.where) yield label(gap, time.at(gap.start), to);
}

/** Return the label of a gap: after the bar if there is room, otherwise before the gap; shortened if necessary. */
function label(gap, start, to) {
  const after = 100 - to;
  const left = after < MIN_LABEL_SPACE && after < start;
  const text = (left ? start : after) < MIN_LABEL_SPACE ? shortLabel(gap) : longLabel(gap);
  return el("span", { class: "label", style: left ? { right: `${100 - start}%` } : { left: `${to}%` } }, text);
}

function placed(name, left, right) {
  return el("i", { class: name, style: { left: `${left}%`, width: `${Math.max(0, right - left)}%` } });
}

/** Return a band for a gap. A band that is narrower than its minimum width extends to the left. */
function before(name, left, right, title) {
  return el("i", { class: name, title, style: { right: `${100 - right}%`, width: `${Math.max(0, right - left)}%` } });
}

/** Return the folded stretches as bands behind all rows. */
export function backdrop(time) {
  return el("div", { class: "grid backdrop", "aria-hidden": "true" }, el("span"), el("span"),
    el("div", { class: "track" }, el("div", { class: "lane" }, ...time.folds.map(({ left, right }) => placed("fold", left, right)))));
}
