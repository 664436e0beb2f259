// The whole trace as a strip: a line for each span in its service's colour, and a frame around the visible part.

import { el } from "./page.js";
import { drag } from "./zoom.js";

const HEIGHT = 56; // pixels
const THINNEST = 1.5; // pixels; a shorter line would be invisible

/** Return the strip. Dragging over it zooms; `zoom` moves its frame. It is hidden from screen readers. */
export function overview({ nodes, time, zoom }) {
  const canvas = el("canvas", { height: HEIGHT });
  const seen = el("i", { class: "seen" });
  const strip = el("div", { class: "overview", "aria-hidden": "true" }, canvas, seen);
  const bars = nodes.filter(({ span }) => !span.lost).map(({ span }) => ({ span, left: time.at(span.start) / 100, right: time.at(span.end) / 100 }));
  const draw = () => paint(canvas, bars);
  new ResizeObserver(draw).observe(strip);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  zoom.onChange(({ left, right }) => Object.assign(seen.style, { left: `${left}%`, width: `${right - left}%` }));
  drag(strip, (from, until) => zoom.to(100 * from, 100 * until), zoom.fit);
  return strip;
}

function paint(canvas, bars) {
  const width = canvas.clientWidth;
  const sharp = devicePixelRatio;
  Object.assign(canvas, { width: width * sharp, height: HEIGHT * sharp });
  const context = canvas.getContext("2d");
  context.scale(sharp, sharp);
  const step = Math.min(6, (HEIGHT - 8) / Math.max(1, bars.length));
  const colours = new Map(); // by class, so that styles are not computed for each span
  bars.forEach(({ span, left, right }, index) => {
    const item = document.getElementById(span.id);
    if (!colours.has(item.className)) colours.set(item.className, getComputedStyle(item.querySelector(".bar")).backgroundColor);
    context.fillStyle = colours.get(item.className);
    context.fillRect(left * width, 4 + index * step, Math.max(THINNEST, (right - left) * width), Math.max(1, step * 0.7));
  });
}
