// One trace as a waterfall: spans under their parents, waiting between them dotted, log lines under their span.

import { counted, duration, el, failure, moment, neighbour, read, service, serviceClass } from "./page.js";
import { about } from "./about.js";
import { timeline } from "./timeline.js";

const EVERYWHERE = new Set(["trace_id", "span_id", "request_id", "service", "level", "timestamp", "event"]);
const LAST_TICK = 80; // percent; further right the label of the end would be covered
const traceId = location.pathname.split("/").at(-1);
const place = document.getElementById("waterfall");

/** Order the spans as a tree; a span whose parent is not here stands at the top. */
function tree(spans) {
  const ids = new Set(spans.map((span) => span.spanID));
  const children = new Map();
  for (const span of spans) {
    const parent = span.references.find((reference) => reference.refType === "CHILD_OF")?.spanID;
    const key = ids.has(parent) && parent !== span.spanID ? parent : null;
    children.set(key, [...(children.get(key) ?? []), span]);
  }
  const ordered = [];
  const visit = (parent, depth) => {
    for (const span of (children.get(parent?.spanID ?? null) ?? []).sort((a, b) => a.startTime - b.startTime)) {
      ordered.push({ span, parent, depth });
      visit(span, depth + 1);
    }
  };
  visit(null, 0);
  return ordered;
}

const end = (span) => span.startTime + span.duration;
const tag = (span, key) => span.tags.find((candidate) => candidate.key === key)?.value;

function placed(element, left, right) {
  element.style.left = `${left}%`;
  element.style.width = `${Math.max(0, right - left)}%`;
  return element;
}

function track(time, span, parent) {
  const waited = parent && span.startTime > end(parent);
  return el("div", { class: "track" },
    ...time.folds.map((fold) => placed(el("i", { class: "fold" }), fold.left, fold.left + fold.width)),
    waited ? placed(el("i", { class: "wait" }), time.at(end(parent)), time.at(span.startTime)) : null,
    placed(el("i", { class: tag(span, "error") ? "bar bad" : "bar" }), time.at(span.startTime), time.at(end(span))));
}

function row(entry, time, origin, processes, lines) {
  const { span, parent, depth } = entry;
  const name = processes[span.processID].serviceName;
  const subject = about(span.operationName, new Map(span.tags.map(({ key, value }) => [key, value])));
  const links = span.references.filter((reference) => reference.refType === "FOLLOWS_FROM");
  const indent = el("div", { class: "name" },
    service(name),
    el("span", { class: "operation", title: span.operationName }, span.operationName, " ", el("span", { class: "quiet" }, subject)),
    tag(span, "error") ? el("span", { class: "bad" }, "failed") : null,
    links.length ? el("span", { class: "waited", title: links.map((link) => link.spanID).join(" ") }, `↪ ${counted(links.length, "link")}`) : null,
    parent && span.startTime > end(parent) ? el("span", { class: "waited" }, `waited ${duration(span.startTime - end(parent))}`) : null);
  indent.style.paddingLeft = `${depth * 1.1}rem`;
  const own = el("ul", { class: "lines" }, ...lines.map((line) => logLine(line, origin)));
  own.style.paddingLeft = `${depth * 1.1 + 2}rem`;
  return el("details", { class: `span ${serviceClass(name)}`, id: span.spanID },
    el("summary", {},
      el("div", { class: "grid" }, indent, el("div", { class: "took number" }, duration(span.duration)), track(time, span, parent)),
      lines.length ? own : null),
    details(span, origin, processes));
}

function logLine(line, origin) {
  const attributes = Object.entries(line.attributes).filter(([key]) => !EVERYWHERE.has(key)).map(([key, value]) => `${key}=${value}`).join("  ");
  return el("li", {},
    el("span", { class: "quiet number" }, `+${duration(Math.max(0, line.time_us - origin))}`),
    el("span", { class: `level ${line.level}` }, line.level),
    el("span", {}, line.line, " ", el("span", { class: "quiet" }, attributes)));
}

function details(span, origin, processes) {
  const facts = [
    ["started", `${moment(span.startTime)}, +${duration(span.startTime - origin)}`],
    ["span", span.spanID],
    ...span.references.map((reference) => [reference.refType === "CHILD_OF" ? "child of" : "follows from", `${reference.spanID} in trace ${reference.traceID}`]),
    ...span.tags.map(({ key, value }) => [key, String(value)]),
    ...span.logs.map((event) => [`event +${duration(event.timestamp - origin)}`, event.fields.map(({ key, value }) => `${key}=${value}`).join("  ")]),
    ...processes[span.processID].tags.map(({ key, value }) => [`process ${key}`, String(value)]),
  ];
  return el("div", { class: "details" }, el("table", {}, el("tbody", {},
    ...facts.map(([key, value]) => el("tr", {}, el("th", { scope: "row" }, key), el("td", { class: "mono" }, value))))));
}

function axis(time, origin, last) {
  const marks = [{ at: origin, label: "0" }, ...time.folds.map((fold) => ({ at: fold.end, label: `+${duration(fold.end - origin)}` }))];
  const ticks = marks.filter(({ at }) => time.at(at) < LAST_TICK).map(({ at, label }) => {
    const tick = el("span", { class: "tick" }, label);
    tick.style.left = `${time.at(at)}%`;
    return tick;
  });
  const final = el("span", { class: "tick late" }, `+${duration(last - origin)}`);
  final.style.left = "100%";
  return el("div", { class: "grid axis" },
    el("span", {}, time.folds.length ? "hatched: nothing ran, folded" : ""), el("span", { class: "took" }, "took"),
    el("div", { class: "track" }, ...ticks, final));
}

function summary(trace, ordered, origin, last, lines) {
  const root = ordered[0].span;
  const services = new Set(trace.spans.map((span) => trace.processes[span.processID].serviceName));
  const failed = trace.spans.filter((span) => tag(span, "error")).length;
  const toggle = el("input", { type: "checkbox", checked: true });
  toggle.addEventListener("change", () => place.classList.toggle("no-lines", !toggle.checked));
  document.title = `${root.operationName} · Hopline observatory`;
  document.getElementById("summary").replaceChildren(
    el("h1", {}, service(trace.processes[root.processID].serviceName), " ", root.operationName),
    el("form", {},
      el("span", { class: "quiet number" }, `${moment(origin)} · ${duration(last - origin)} · ${counted(trace.spans.length, "span")} · ${counted(services.size, "service")} · ${counted(lines.length, "log line")}`),
      failed ? el("span", { class: "bad" }, `${failed} failed`) : null,
      el("span", { class: "quiet mono" }, trace.traceID),
      el("a", { href: `/api/traces/${trace.traceID}` }, "JSON"),
      el("label", { class: "check" }, toggle, "log lines")));
}

async function start() {
  document.getElementById("mailbox").href = neighbour(16686, 8025);
  const [answer, logs] = await Promise.all([
    read(`/api/traces/${encodeURIComponent(traceId)}`),
    read(`/observatory/traces/${encodeURIComponent(traceId)}/logs`),
  ]);
  if (answer.errors) throw new Error(`${answer.errors[0].msg}: ${traceId}`);
  const [trace] = answer.data;
  const ordered = tree(trace.spans);
  const origin = Math.min(...trace.spans.map((span) => span.startTime));
  const last = Math.max(...trace.spans.map(end));
  const time = timeline(trace.spans.map((span) => ({ start: span.startTime, end: end(span) })));
  const ofSpan = grouped(logs.lines);
  const known = new Set(trace.spans.map((span) => span.spanID));
  const others = logs.lines.filter((line) => !known.has(line.span_id));
  summary(trace, ordered, origin, last, logs.lines);
  place.replaceChildren(el("div", { class: "waterfall" }, axis(time, origin, last),
    ...ordered.map((entry) => row(entry, time, origin, trace.processes, ofSpan.get(entry.span.spanID) ?? [])),
    others.length ? el("ul", { class: "lines others" }, ...others.map((line) => logLine(line, origin))) : null));
}

function grouped(lines) {
  const groups = new Map();
  for (const line of lines) groups.set(line.span_id, [...(groups.get(line.span_id) ?? []), line]);
  return groups;
}

start().catch((error) => failure(place, error));
