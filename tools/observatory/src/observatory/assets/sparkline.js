// A small line of the latest values. It has no text, because the figure is shown above it.

import { svg } from "./page.js";

const WIDTH = 90;
const HEIGHT = 20;
const INSET = 2;

/** Return the line on a scale from zero to the largest value. A null is a gap. */
export function sparkline(values) {
  const known = values.filter((value) => value != null);
  if (!known.length) return null;
  const most = Math.max(...known, 0);
  const x = (place) => INSET + (place / Math.max(1, values.length - 1)) * (WIDTH - 2 * INSET);
  const y = (value) => HEIGHT - INSET - (most > 0 ? Math.max(0, value) / most : 0) * (HEIGHT - 2 * INSET);
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
    ...runs(values).map((run) => run.length > 1
      ? svg("polyline", { points: run.map(([place, value]) => `${x(place).toFixed(1)},${y(value).toFixed(1)}`).join(" ") })
      : svg("circle", { cx: x(run[0][0]), cy: y(run[0][1]), r: 1.5 })));
}

/** Return the stretches without a gap, each as pairs of place and value. */
function runs(values) {
  const found = [[]];
  values.forEach((value, place) => {
    if (value == null) found.push([]);
    else found.at(-1).push([place, value]);
  });
  return found.filter((run) => run.length);
}
