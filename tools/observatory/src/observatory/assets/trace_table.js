// The traces as a table. The row of an unchanged trace stays the same element, so that a refresh does not move the focus or
// the scroll position.

import { clock, duration, el, moment, service, serviceClass } from "./page.js";

const COLUMNS = [
  { name: "Root operation" },
  { name: "Services" },
  { name: "Spans", key: "spans" },
  { name: "Failed", key: "errors" },
  { name: "Took", key: "duration_us" },
  { name: "Started", key: "start_us" },
];

/** Return `{element, show(traces)}`. A click on a heading sorts by it, the largest first. */
export function traceTable() {
  const body = el("tbody");
  const rows = new Map();
  let sortedBy = "start_us";
  let last = [];
  const heads = COLUMNS.map(({ name, key }) => el("th", { scope: "col", class: key ? "right" : null }, key ? el("button", { type: "button", click: () => sort(key) }, name) : name));
  const element = el("table", { class: "rows traces" }, el("thead", {}, el("tr", {}, ...heads)), body);
  const sort = (key) => {
    sortedBy = key;
    show(last);
  };
  const show = (traces) => {
    const first = rows.size === 0;
    last = traces;
    COLUMNS.forEach(({ key }, index) => (key === sortedBy ? heads[index].setAttribute("aria-sort", "descending") : heads[index].removeAttribute("aria-sort")));
    const longest = Math.max(1, ...traces.map((trace) => trace.duration_us));
    const wanted = new Set(traces.map((trace) => trace.trace_id));
    for (const id of rows.keys()) if (!wanted.has(id)) rows.delete(id);
    const ordered = [...traces].sort((a, b) => b[sortedBy] - a[sortedBy]).map((trace) => reuseRow(rows, trace, longest, first));
    place(body, ordered);
  };
  return { element, show };
}

function reuseRow(rows, trace, longest, first) {
  const version = JSON.stringify([trace, longest]);
  const old = rows.get(trace.trace_id);
  if (old?.version === version) return old.row;
  const made = row(trace, longest);
  if (old) {
    old.row.replaceChildren(...made.children);
    Object.assign(old, { version });
    return old.row;
  }
  if (!first) made.classList.add("new");
  rows.set(trace.trace_id, { version, row: made });
  return made;
}

/** Put the rows in this order, and move only rows with another position. */
function place(body, ordered) {
  ordered.forEach((row, index) => {
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
  while (body.children.length > ordered.length) body.lastElementChild.remove();
}

function row(trace, longest) {
  const share = el("i", { style: { width: `${(100 * trace.duration_us) / longest}%` } });
  return el("tr", { class: serviceClass(trace.service) },
    el("td", { class: "root" }, el("a", { href: `/trace/${trace.trace_id}` }, service(trace.service), " ", trace.operation)),
    el("td", { class: "services" }, el("div", { class: "chips" }, ...Object.entries(trace.services).map(([name, count]) => el("span", { class: `chip ${serviceClass(name)}` }, `${name} ${count}`)))),
    el("td", { class: "spans number right" }, trace.spans),
    el("td", { class: "errors bad number right" }, trace.errors || ""),
    el("td", { class: "took number right" }, duration(trace.duration_us), el("div", { class: "meter" }, share)),
    el("td", { class: "started number right quiet", title: moment(trace.start_us) }, clock(trace.start_us)));
}
