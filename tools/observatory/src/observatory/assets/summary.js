// The summary above the waterfall: root, start, duration, services and emails of the trace.

import { counted, duration, el, moment, neighbour, service } from "./page.js";

/** Fill the summary; its checkbox shows or hides the log records in `place`. */
export function summary({ trace, nodes: all, lines, mails, origin, place }) {
  const nodes = all.filter(({ span }) => !span.lost);
  const root = nodes[0].span;
  const last = Math.max(...nodes.map(({ span }) => span.end));
  const failed = nodes.filter(({ span }) => span.failed).length;
  const lost = all.length - nodes.length;
  const box = el("input", { type: "checkbox", checked: true, change: () => place.classList.toggle("no-lines", !box.checked) });
  document.title = `${root.operation} · Hopline observatory`;
  document.getElementById("summary").replaceChildren(
    el("h1", {}, service(root.service), " ", root.operation),
    el("p", { class: "facts" },
      el("strong", { class: "number" }, duration(last - origin)),
      el("span", { class: "number" }, moment(origin)),
      el("span", {}, counted(nodes.length, "span")),
      el("span", {}, counted(lines.length, "log record")),
      failed ? el("span", { class: "bad" }, `${failed} failed`) : null,
      lost ? el("span", { class: "bad" }, `${lost} lost`) : null,
      el("span", { class: "quiet mono" }, trace.traceID),
      el("a", { href: `/api/traces/${trace.traceID}` }, "JSON")),
    el("ul", { class: "legend" }, ...shares(nodes)),
    ...(mails.length ? [el("p", { class: "facts" }, ...mails.map(mailLink))] : []),
    el("p", { class: "facts quiet signs" },
      el("span", {}, el("i", { class: "sign gap" }), "in a stream, a queue or the outbox"),
      el("span", {}, el("i", { class: "sign gap undue" }), "not yet due"),
      el("span", {}, el("i", { class: "sign wait" }), "other waiting"),
      el("span", {}, el("i", { class: "sign fold" }), "idle time, folded"),
      el("label", { class: "check" }, box, "log records"),
      el("span", {}, "Keys: ", ...["↑", "↓", "←", "→", "+", "-", "0"].map((key) => el("kbd", {}, key)))));
}

/** Return each service with its number of spans and the time in which at least one of them ran. */
function shares(nodes) {
  const groups = new Map();
  for (const { span } of nodes) groups.set(span.service, [...(groups.get(span.service) ?? []), span]);
  return [...groups].map(([name, spans]) => el("li", {}, service(name), " ", el("span", { class: "quiet number" }, `${counted(spans.length, "span")}, ${duration(busy(spans))}`)));
}

function busy(spans) {
  let sum = 0;
  let reached = 0;
  for (const { start, end } of [...spans].sort((a, b) => a.start - b.start)) {
    sum += Math.max(0, end - Math.max(start, reached));
    reached = Math.max(reached, end);
  }
  return sum;
}

function mailLink({ id, subject, to }) {
  return el("a", { href: neighbour(8025, `/view/${encodeURIComponent(id)}`) }, `✉ ${subject || "(no subject)"}`, to.length ? ` to ${to.join(", ")}` : "");
}
