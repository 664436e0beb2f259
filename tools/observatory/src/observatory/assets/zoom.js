// The visible part of the timeline. Positions are in percent of a lane. Zooming widens and moves the lane by two CSS
// properties, so the cost does not depend on the number of spans.

import { clock, duration, el } from "./page.js";

const NARROWEST = 0.001; // share of the whole timeline
const TICK_EVERY = 110; // approximate distance in pixels
const NARROWEST_LABEL = 75; // minimum space for a label in pixels
const MIN_DRAG_PX = 5; // pixels; less is a click

/** Return the axis, its buttons, and `zoom.to(left, right)` in percent; `stage` is the element with the lanes. */
export function zoomable({ stage, time, origin }) {
  let view = { left: 0, right: 100 };
  const ticks = el("div", { class: "track ticks" });
  const wall = el("input", { type: "checkbox", change: () => draw() });
  const to = (left, right) => {
    const width = Math.min(100, Math.max(100 * NARROWEST, right - left));
    const from = Math.min(100 - width, Math.max(0, left));
    view = { left: from, right: from + width };
    stage.style.setProperty("--zoom", 100 / width);
    stage.style.setProperty("--pan", from / width);
    draw();
  };
  const by = (factor) => {
    const middle = (view.left + view.right) / 2;
    const half = ((view.right - view.left) * factor) / 2;
    to(middle - half, middle + half);
  };
  const move = (share) => to(view.left + share * (view.right - view.left), view.right + share * (view.right - view.left));
  const fit = () => to(0, 100);
  const include = (left, right) => {
    const half = (view.right - view.left) / 2;
    if (left < view.left || right > view.right) to(...(right - left > 2 * half ? [left, right] : [(left + right) / 2 - half, (left + right) / 2 + half]));
  };
  const listeners = new Set();
  const draw = () => {
    const write = wall.checked ? clock : (at) => round(at - origin);
    ticks.replaceChildren(...ticksOf(time, origin, view, ticks.clientWidth).map(({ at, left }) => el("span", { class: "tick", style: { left: `${left}%` } }, write(at))));
    for (const listener of listeners) listener(view);
  };
  drag(ticks, (from, until) => {
    const wide = view.right - view.left;
    to(view.left + from * wide, view.left + until * wide);
  }, fit);
  new ResizeObserver(draw).observe(ticks);
  const tool = (label, text, click) => el("button", { type: "button", class: "tool", "aria-label": label, title: label, click }, text);
  const tools = el("div", { class: "tools", role: "group", "aria-label": "Zoom" },
    tool("Zoom in (+)", "+", () => by(0.5)), tool("Zoom out (-)", "−", () => by(2)),
    tool("Earlier", "‹", () => move(-0.5)), tool("Later", "›", () => move(0.5)), tool("All (0)", "fit", fit),
    el("label", { class: "check" }, wall, "clock"));
  return { ticks, tools, zoom: { to, by, fit, include, onChange: (listener) => listeners.add(listener) } };
}

/** Call `done` with two shares of the width after a drag over `element`, and `reset` on a double click. */
export function drag(element, done, reset) {
  let from = null;
  const share = (event) => {
    const { left, width } = element.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - left) / width));
  };
  const brush = el("i", { class: "brush", hidden: true });
  element.addEventListener("pointerdown", (event) => {
    if (event.button) return; // only the main button drags
    from = share(event);
    element.setPointerCapture(event.pointerId);
    element.append(brush);
  });
  element.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const [left, right] = [from, share(event)].sort((a, b) => a - b);
    brush.hidden = false;
    Object.assign(brush.style, { left: `${100 * left}%`, width: `${100 * (right - left)}%` });
  });
  element.addEventListener("pointerup", (event) => {
    if (from === null) return; // it was pressed outside
    const [left, right] = [from, share(event)].sort((a, b) => a - b);
    from = null;
    brush.hidden = true;
    if ((right - left) * element.clientWidth >= MIN_DRAG_PX) done(left, right);
  });
  element.addEventListener("dblclick", reset);
}

/** Return the labels `[{at, left}]`: the start of each run, then round times after `origin` if there is room. */
function ticksOf(time, origin, view, width) {
  const scale = 100 / (view.right - view.left);
  const place = (at) => (time.at(at) - view.left) * scale;
  const room = (percent) => (percent * width) / 100;
  const ticks = [];
  const add = (at, apart) => {
    const left = place(at);
    const fits = left >= 0 && room(100 - left) >= NARROWEST_LABEL && ticks.every((other) => room(Math.abs(left - other.left)) >= apart);
    if (fits) ticks.push({ at, left });
  };
  for (const run of time.runs) add(run.start, NARROWEST_LABEL);
  for (const run of time.runs) {
    const perPixel = (run.end - run.start) / room((run.right - run.left) * scale);
    const step = roundUp(perPixel * TICK_EVERY);
    const first = Math.ceil((Math.max(run.start, startOf(run, view)) - origin) / step) * step;
    for (let at = origin + first; step && at < run.end && place(at) < 100; at += step) add(at, NARROWEST_LABEL);
  }
  return ticks;
}

function startOf(run, view) {
  const share = (view.left - run.left) / (run.right - run.left || 1);
  return run.start + Math.max(0, share) * (run.end - run.start);
}

/** Return the next of 1, 2, 5, 10, 20, 50 … µs. */
function roundUp(us) {
  if (!(us > 0)) return 0;
  const power = 10 ** Math.floor(Math.log10(us));
  return Math.max(1, power * [1, 2, 5, 10].find((factor) => factor * power >= us));
}

function round(us) {
  return us ? `+${duration(us).replace(/(\.\d*?)0+(?= )/, "$1").replace(/\.(?= )/, "")}` : "0";
}
