// The waterfall: a row for each span below its parent, with its log lines; what it waited for is drawn before its bar.

import { details } from "./details.js";
import { sentence } from "./gaps.js";
import { counted, duration, el, neighbour, service, serviceClass } from "./page.js";
import { logLine } from "./log.js";

const LABEL_TURNS = 62; // percent; a bar that ends further right has its label on the left

/** Draw the nodes on the time line; `linesOf` and `mailOf` give what belongs to a span. Returns an element. */
export function waterfall({ nodes, time, origin, linesOf, mailOf }) {
  const list = el("ol", { class: "spans", "aria-label": "Spans" });
  for (const node of nodes) list.append(row(node, { time, origin, lines: linesOf(node.span.id), mail: mailOf(node.span) }));
  const nodeOf = new Map(nodes.map((node) => [node.span.id, node]));
  list.addEventListener("click", (event) => clicked(event, nodeOf));
  return list;
}

function clicked(event, nodeOf) {
  const item = event.target.closest("li.span");
  if (!item || event.target.closest("a, .lines, .details, .twist:empty") || getSelection().type === "Range") return;
  const node = nodeOf.get(item.id);
  if (event.target.closest(".twist")) unfold(node, item.querySelector(".twist").ariaExpanded === "false");
  else if (event.target.closest(".grid")) open(item, item.querySelector(".open").ariaExpanded === "false");
}

/** Show or hide the children of a span; those of its children stay as they are. */
export function unfold(node, shown) {
  const twist = document.getElementById(node.span.id).querySelector(".twist");
  if (!node.children.length) return;
  twist.ariaExpanded = String(shown);
  const reveal = (parent) => {
    for (const child of parent.children) {
      const item = document.getElementById(child.span.id);
      item.hidden = !shown;
      if (!shown || item.querySelector(".twist").ariaExpanded !== "false") reveal(child);
    }
  };
  reveal(node);
}

/** Show or hide a span's details, which are made when they are first asked for. */
export function open(item, shown) {
  item.querySelector(".open").ariaExpanded = String(shown);
  const place = item.querySelector(".details");
  if (shown && !place.hasChildNodes()) place.append(...item.makeDetails());
  place.hidden = !shown;
}

function row(node, { time, origin, lines, mail }) {
  const { span, depth, children } = node;
  const item = el("li", { class: `span ${serviceClass(span.service)}${span.failed ? " failed" : ""}`, id: span.id, style: { "--depth": Math.min(depth, 20) } },
    el("div", { class: "grid" },
      el("div", { class: "name" },
        el("span", { class: "sr" }, `Level ${depth + 1}: `),
        children.length ? el("button", { class: "twist", type: "button", "aria-expanded": "true", "aria-label": counted(children.length, "child span") }) : el("span", { class: "twist" }),
        el("button", { class: "open", type: "button", "aria-expanded": "false", "aria-controls": `of-${span.id}`, title: span.operation },
          service(span.service), " ", span.operation, span.about ? el("span", { class: "quiet" }, ` ${span.about}`) : null),
        ...marks(span, mail)),
      el("div", { class: "took number" }, duration(span.duration)),
      el("div", { class: "track" }, el("div", { class: "lane" }, ...drawn(node, time)))),
    lines.length ? el("ul", { class: "lines", "aria-label": "Log lines" }, ...lines.map((line) => logLine(line, origin))) : null,
    el("div", { class: "details", id: `of-${span.id}`, hidden: true }));
  item.makeDetails = () => details(node, origin);
  return item;
}

function* marks(span, mail) {
  if (span.failed) yield el("span", { class: "bad" }, "failed");
  if (span.links.length) yield el("span", { class: "mark", title: "follows from other spans, see its details" }, `↪ ${counted(span.links.length, "link")}`);
  if (mail) yield el("a", { class: "mark", href: neighbour(8025, `/view/${encodeURIComponent(mail.id)}`), title: mail.subject }, "✉ email");
}

function* drawn({ span, gap }, time) {
  if (gap) yield placed("i", gap.where ? "gap" : "wait", time.at(gap.start), time.at(gap.end), { title: sentence(gap) });
  const from = time.at(span.start);
  const to = time.at(span.end);
  yield placed("i", span.failed ? "bar bad" : "bar", from, to);
  if (!gap?.where) return;
  const left = to > LABEL_TURNS;
  yield el("span", { class: left ? "label left" : "label", style: left ? { right: `${100 - time.at(gap.start)}%` } : { left: `${to}%` } }, sentence(gap));
}

function placed(tag, name, left, right, attributes = {}) {
  return el(tag, { class: name, style: { left: `${left}%`, width: `${Math.max(0, right - left)}%` }, ...attributes });
}

/** The folded stretches as bands behind all rows. */
export function backdrop(time) {
  return el("div", { class: "grid backdrop", "aria-hidden": "true" }, el("span"), el("span"),
    el("div", { class: "track" }, el("div", { class: "lane" }, ...time.folds.map(({ left, right }) => placed("i", "fold", left, right)))));
}
