// Log lines: under their span, and all of them in order. Each leads to the other.

import { clock, duration, el, service } from "./page.js";

const SHOWN_ELSEWHERE = new Set(["trace_id", "span_id", "request_id", "service", "level", "timestamp", "event"]);

/** A line under its span; its time leads to its place among all lines. */
export function logLine(line, origin) {
  return el("li", {},
    el("a", { class: "number", href: `#line-${line.number}`, title: clock(line.time_us) }, after(line, origin)),
    el("span", { class: `level ${levelClass(line)}` }, line.level),
    text(line));
}

/** Every line of the trace by time; its time leads to its span. */
export function logSection(lines, origin, isSpan) {
  if (!lines.length) return [el("p", { class: "empty" }, "No log line carries this trace’s id.")];
  return [
    el("h2", { id: "lines" }, "All log lines, in order"),
    el("ol", { class: "lines all", "aria-labelledby": "lines" }, ...lines.map((line) => el("li", { id: `line-${line.number}` },
      isSpan(line.span_id)
        ? el("a", { class: "number", href: `#${line.span_id}`, title: "to its span" }, clock(line.time_us))
        : el("span", { class: "number quiet", title: "its span is not here" }, clock(line.time_us)),
      el("span", { class: "number quiet" }, after(line, origin)),
      el("span", { class: `level ${levelClass(line)}` }, line.level),
      service(line.service),
      text(line)))),
  ];
}

function text(line) {
  const attributes = Object.entries(line.attributes).filter(([key, value]) => !SHOWN_ELSEWHERE.has(key) && value !== "");
  const short = attributes.filter(([, value]) => !value.includes("\n"));
  const long = attributes.filter(([, value]) => value.includes("\n"));
  return el("div", { class: "text" },
    el("strong", {}, line.line), " ",
    el("span", { class: "quiet" }, short.map(([key, value]) => `${key}=${value}`).join("  ")),
    ...long.map(([key, value]) => el("details", {}, el("summary", {}, key), el("pre", {}, value))));
}

const LEVELS = new Set(["trace", "debug", "info", "warn", "error", "fatal"]);

function levelClass({ level }) {
  return LEVELS.has(level) ? level : "";
}

function after(line, origin) {
  return `+${duration(Math.max(0, line.time_us - origin))}`;
}
