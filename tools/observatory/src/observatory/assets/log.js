// Log records: below their span, and all of them in a list. Both link to each other.

import { clock, duration, el, service } from "./page.js";

const NOT_SHOWN = new Set(["request_id"]); // the same for each record of a request

/** Return a record below its span; its time links to its entry in the list. */
export function logLine(line, origin) {
  return el("li", {},
    el("a", { class: "number", href: `#line-${line.number}`, title: clock(line.time_us) }, after(line, origin)),
    el("span", { class: `level ${levelClass(line)}` }, line.level),
    text(line));
}

/** Return the list of all records by time; the time of each links to its span. */
export function logSection(lines, origin, isSpan) {
  if (!lines.length) return [el("p", { class: "empty" }, "No log record has this trace’s id.")];
  return [
    el("h2", { id: "lines" }, "All log records, in order"),
    el("ol", { class: "lines all", "aria-labelledby": "lines" }, ...lines.map((line) => el("li", { id: `line-${line.number}` },
      isSpan(line.span_id)
        ? el("a", { class: "number", href: `#${line.span_id}`, title: "to its span" }, clock(line.time_us))
        : el("span", { class: "number quiet", title: "its span was not received" }, clock(line.time_us)),
      el("span", { class: "number quiet" }, after(line, origin)),
      el("span", { class: `level ${levelClass(line)}` }, line.level),
      service(line.service),
      text(line)))),
  ];
}

function text(line) {
  const attributes = Object.entries(line.attributes).filter(([key, value]) => !NOT_SHOWN.has(key) && value !== "");
  const short = attributes.filter(([, value]) => !value.includes("\n"));
  const long = attributes.filter(([, value]) => value.includes("\n"));
  return el("div", { class: "text" },
    el("strong", {}, line.line), " ",
    el("span", { class: "quiet" }, short.map(([key, value]) => `${key}=${value}`).join("  ")),
    ...long.map(([key, value]) => el("details", {}, el("summary", {}, key), el("pre", {}, value))));
}

const LEVELS = new Set(["trace", "debug", "info", "warn", "error", "critical", "fatal"]);

function levelClass({ level }) {
  return LEVELS.has(level) ? level : "";
}

function after(line, origin) {
  return `+${duration(Math.max(0, line.time_us - origin))}`;
}
