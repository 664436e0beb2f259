// The traces as dots: start time, duration (logarithmic), and the colour of the root's service.

import { clock, duration, serviceClass, svg } from "./page.js";

const HEIGHT = 150;
const EDGE = { left: 58, right: 14, top: 10, bottom: 20 };
const MIN_RADIUS = 3.5; // radius in pixels
const FEWEST = 3; // minimum number of traces for a chart

/** Draw the chart in the figure `place`. It is hidden from screen readers, because the table has the same content. */
export function scatter(place, traces) {
  if (traces.length < FEWEST) return place.replaceChildren();
  const width = Math.max(320, document.querySelector("main").clientWidth - 70);
  const starts = traces.map((trace) => trace.start_us);
  const [first, last] = [Math.min(...starts), Math.max(...starts)];
  const logs = traces.map((trace) => Math.log10(Math.max(1, trace.duration_us)));
  const [low, high] = [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs) + 0.01)];
  const x = (us) => EDGE.left + ((us - first) / (last - first || 1)) * (width - EDGE.left - EDGE.right);
  const y = (log) => EDGE.top + ((high - log) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const powers = Array.from({ length: high - low + 1 }, (_, index) => low + index);
  place.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true", preserveAspectRatio: "none" },
    ...powers.flatMap((power) => [
      svg("line", { x1: EDGE.left, x2: width - EDGE.right, y1: y(power), y2: y(power) }),
      svg("text", { x: EDGE.left - 8, y: y(power) + 4, "text-anchor": "end" }, round(10 ** power)),
    ]),
    ...[first, (first + last) / 2, last].map((us, index) => svg("text", { x: x(us), y: HEIGHT - 4, "text-anchor": ["start", "middle", "end"][index] }, clock(us))),
    ...traces.map((trace, index) => dot(trace, x(trace.start_us), y(logs[index])))));
}

function dot(trace, cx, cy) {
  const r = MIN_RADIUS + Math.min(6, Math.sqrt(trace.spans) / 2);
  return svg("a", { href: `/trace/${trace.trace_id}`, tabindex: "-1" },
    svg("circle", { cx, cy, r, class: `${serviceClass(trace.service)}${trace.errors ? " failed" : ""}` },
      svg("title", {}, `${trace.service} ${trace.operation}, ${duration(trace.duration_us)}`)));
}

function round(us) {
  return duration(us).replace(/\.0+(?= )/, "");
}
