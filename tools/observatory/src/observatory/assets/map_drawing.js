// The service map as a picture: services as boxes, streams and queues as hatched pills, calls as arrows.

import { counted, digits, duration, serviceClass, svg } from "./page.js";
import { layout } from "./map_layout.js";

const BOX = { width: 132, height: 62 };
const PILL = 34; // height of nodes other than services
const STEP = { x: 214, y: 84 };
const EDGE = 16; // margin around the map
const APART = 6; // pixels between the two directions of one connection
const THICKEST = 5;
const LINE = 14; // pixels from one line of a label to the next
const LABEL_AT = [0.5, 0.38, 0.62, 0.28, 0.72]; // positions along the arrow, the best first
const LABEL_OFF = [0, -LINE, LINE, -2 * LINE, 2 * LINE, -3 * LINE, 3 * LINE]; // offsets from the arrow, if labels would overlap
const LETTER = 7.4; // approximate width of a character in pixels

/** Return the drawing of `{seconds, nodes, edges}`. Edges refer to nodes by id. */
export function drawing({ seconds, nodes, edges }) {
  const { at, bends, backwards, layers, rows } = layout(nodes, edges);
  const point = ({ layer, y }) => ({ x: EDGE + layer * STEP.x + BOX.width / 2, y: EDGE + y * STEP.y + BOX.height / 2 });
  const [width, height] = [2 * EDGE + (layers - 1) * STEP.x + BOX.width, 2 * EDGE + (rows - 1) * STEP.y + BOX.height];
  const busiest = Math.max(1, ...edges.map((edge) => edge.calls));
  const free = freePlaces(nodes.map((node) => covered(node, point(at.get(node.id)))));
  const lines = edges.map((edge) => arrow(edge, {
    left: point(at.get(backwards.has(edge) ? edge.target : edge.source)),
    right: point(at.get(backwards.has(edge) ? edge.source : edge.target)),
    through: bends.get(edge).map(point),
    backwards: backwards.has(edge),
    thick: 1 + ((THICKEST - 1) * Math.log1p(edge.calls)) / Math.log1p(busiest),
    rate: perMinute(edge.calls, seconds),
    free,
  }));
  return svg("svg", { class: "map", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "Service map; the table below has the same content" },
    svg("defs", {}, ...hatching(), marker()),
    ...lines.map(({ path }) => path),
    ...lines.map(({ label }) => label),
    ...nodes.map((node) => box(node, point(at.get(node.id)), seconds)));
}

/** Return the rate per minute as text. */
export function perMinute(calls, seconds) {
  return `${Number(digits((60 * calls) / seconds))}/min`;
}

function hatching() {
  return [svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "hatch" }))];
}

function marker() {
  return svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" }, svg("path", { d: "M0 0 8 4 0 8z" }));
}

function arrow(edge, { left, right, through, backwards, thick, rate, free }) {
  const aside = backwards ? APART : -APART;
  const stops = [{ x: left.x + BOX.width / 2, y: left.y + aside }, ...through, { x: right.x - BOX.width / 2, y: right.y + aside }];
  let d = `M${stops[0].x} ${stops[0].y}`;
  for (let index = 1; index < stops.length; index += 1) {
    const [from, to] = [stops[index - 1], stops[index]];
    const middle = (from.x + to.x) / 2;
    d += ` C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}`;
  }
  const [from, to] = backwards ? stops.slice(-2) : stops;
  const failed = edge.errors ? `${edge.errors} failed` : "";
  const size = { width: LETTER * Math.max(rate.length, failed.length), height: failed ? 2 * LINE : LINE };
  const usual = backwards ? LINE : failed ? -LINE : -6;
  const places = LABEL_OFF.flatMap((off) => LABEL_AT.map((share) => between(from, to, share, usual + off)));
  const { x, y } = free(places, size);
  const hue = edge.from.kind === "service" ? serviceClass(edge.from.name) : "from-channel";
  return {
    path: svg("path", { d, class: `edge ${edge.errors ? "bad" : hue}`, "stroke-width": thick, [backwards ? "marker-start" : "marker-end"]: "url(#tip)" },
      svg("title", {}, `${edge.from.name} → ${edge.to.name}: ${figures(edge)}`)),
    label: svg("text", { class: "rate", x, y }, rate, failed ? svg("tspan", { class: "bad", x, dy: LINE }, failed) : null),
  };
}

/** Return the position on the curve between two stops, moved by `aside` for the label. */
function between(from, to, share, aside) {
  const t = share;
  const u = 1 - t;
  const middle = (from.x + to.x) / 2;
  const along = (a, b, c, e) => u ** 3 * a + 3 * u ** 2 * t * b + 3 * u * t ** 2 * c + t ** 3 * e;
  return { x: along(from.x, middle, middle, to.x), y: along(from.y, from.y, to.y, to.y) + aside };
}

/** Return the area of a node that labels must not cover. The position of a label is the baseline of its first line. */
function covered({ kind }, { x, y }) {
  const height = kind === "service" ? BOX.height : PILL;
  return { x, y: y - height / 2, width: BOX.width, height: height + LINE };
}

/** Return a function that takes the first free of several positions, or the first one if none is free. */
function freePlaces(taken) {
  const clear = (one, other) => Math.abs(one.x - other.x) > (one.width + other.width) / 2 || one.y + one.height <= other.y || other.y + other.height <= one.y;
  return (places, size) => {
    const boxes = places.map((place) => ({ ...place, ...size }));
    const box = boxes.find((candidate) => taken.every((other) => clear(candidate, other))) ?? boxes[0];
    taken.push(box);
    return box;
  };
}

function figures({ calls, errors, p50_us: median, p95_us: high, waited_p50_us: waited }) {
  return [counted(calls, "call"), errors && `${errors} failed`, median != null && `p50 ${duration(median)}, p95 ${duration(high)}`, waited != null && `waited ${duration(waited)}`].filter(Boolean).join(", ");
}

function box(node, { x, y }, seconds) {
  const service = node.kind === "service";
  const height = service ? BOX.height : PILL;
  const line = (number, name, ...text) => svg("text", { class: name, x: BOX.width / 2, y: service ? 5 + 16 * number : height / 2 + 4.5 }, ...text);
  const body = svg("g", { class: `node ${node.kind} ${service ? serviceClass(node.name) : ""}`, transform: `translate(${x - BOX.width / 2} ${y - height / 2})` },
    svg("title", {}, `${node.name}: ${figures(node)}`),
    svg("rect", { width: BOX.width, height, rx: service ? 7 : height / 2 }),
    service ? svg("rect", { class: "mark", width: 6, height, rx: 3 }) : null,
    line(1, "name", short(node.name)),
    ...(service ? [line(2, "small", node.calls ? perMinute(node.calls, seconds) : "no calls"), line(3, "small", ...outcome(node))] : []));
  return service ? svg("a", { href: `/search?service=${encodeURIComponent(node.name)}`, "aria-label": `Traces of ${node.name}` }, body) : body;
}

function outcome({ calls, errors, p95_us: high }) {
  if (!calls) return [];
  return [errors ? svg("tspan", { class: "bad" }, `${digits((100 * errors) / calls)} % failed`) : `p95 ${duration(high)}`];
}

function short(name) {
  const fitting = Math.floor(BOX.width / LETTER);
  return name.length > fitting ? `${name.slice(0, fitting - 1)}…` : name;
}
