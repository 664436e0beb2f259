// One table of metrics, with a row for each set of labels. A row has figures with their history and the slowest trace.

import { counted, digits, duration, el, neighbour, service, serviceClass } from "./page.js";
import { sparkline } from "./sparkline.js";

const CIRCUIT = ["closed", "half open", "open"];
const SHORT = 8; // characters of a process's id
const WRITTEN = { rate, share, seconds: (value) => duration(value * 1_000_000), count, circuit: (value) => CIRCUIT[value] ?? String(value) };
const BAD = { share: (value) => value > 0, circuit: (value) => value > 0 };

/** Return the section of a table that has rows, or that could not be evaluated. */
export function metricTable({ id, title, note, by, columns, rows, more, error }) {
  const hasTraces = rows.some(({ exemplar }) => exemplar);
  const heads = [...by.map((label) => [label.title, null]), ...columns.map((column) => [column.title, "right"]), ...(hasTraces ? [["slowest trace", "right"]] : [])];
  return el("section", { id, class: by.length + columns.length > 5 ? "wide" : null, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, title),
    el("p", { class: "quiet" }, note),
    error ? el("p", { class: "bad", role: "alert" }, error) : el("div", { class: "scroll", role: "group", tabindex: "0", "aria-labelledby": `${id}-title` },
      el("table", { class: "rows metrics", "aria-labelledby": `${id}-title` },
        el("thead", {}, el("tr", {}, ...heads.map(([text, side]) => el("th", { scope: "col", class: side }, text)))),
        el("tbody", {}, ...rows.map((row) => line(row, { id, by, columns, hasTraces }))))),
    more ? el("p", { class: "more" }, `and ${counted(more, "row")} more, with a smaller ${columns[0].title}`) : null);
}

function line({ labels, cells, exemplar }, { id, by, columns, hasTraces }) {
  const names = by.map(({ label }) => labels[label] ?? "");
  return el("tr", { class: labels.service_name ? serviceClass(labels.service_name) : null },
    ...by.map(({ label }, place) => el(place ? "td" : "th", { scope: place ? null : "row" }, name(label, labels[label]))),
    ...cells.map((cell, place) => figure(shown(cell, cells[0], columns[place].unit), cell.history, columns[place].unit)),
    hasTraces ? el("td", { class: "number right" }, exemplar ? traceLink(exemplar, names, id) : null) : null);
}

/** Return the value, or 0 for a missing share of errors if there were requests, because without an error there is no series. */
function shown({ value }, first, unit) {
  return value == null && unit === "share" && first.value ? 0 : value;
}

function figure(value, history, unit) {
  const isBad = value != null && BAD[unit]?.(value);
  return el("td", { class: `number right${isBad ? " bad" : ""}` }, value == null ? "–" : WRITTEN[unit](value), sparkline(history));
}

function traceLink({ trace_id, value }, names, id) {
  const took = duration(value * 1_000_000);
  return el("a", {
    href: neighbour(16686, `/trace/${trace_id}`), "data-key": `${id} ${names.join(" ")}`,
    "aria-label": `Trace of ${took}: ${names.filter(Boolean).join(" ")}`,
  }, took);
}

function name(label, value) {
  if (value == null) return "";
  if (label === "service_name") return service(value);
  if (label === "instance") return el("span", { class: "mono", title: value }, value.slice(0, SHORT));
  return el("span", { class: label === "http_route" || label === "url_template" ? "route" : null }, value);
}

function rate(value) {
  if (!value) return "0";
  return value >= 1 ? `${digits(value)}/s` : `${digits(60 * value)}/min`;
}

function share(value) {
  return value ? `${digits(100 * value)} %` : "0 %";
}

function count(value) {
  return Number.isInteger(value) ? String(value) : digits(value);
}
