// Functions for all pages: create elements from text, read JSON, and format times, durations and services.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Create an element. Attributes that are functions become listeners, the object `style` sets CSS properties, and
 * attributes that are false or null are omitted. Children are nodes or text; text is never parsed as markup.
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Create an SVG element from the same parameters as `el`. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "style") for (const [property, set] of Object.entries(value)) element.style.setProperty(property, set);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** Fetch JSON from this port. Throws an error with the message and the status of an error response. */
export async function read(path) {
  const response = await fetch(path);
  const body = await response.json().catch(() => null);
  if (!response.ok) throw Object.assign(new Error(body?.errors?.[0]?.msg ?? body?.error ?? `${path}: ${response.status}`), { status: response.status });
  return body;
}

const KNOWN = ["gateway", "users", "orders", "notifications", "workers"];

/** Return the CSS class for the colour of a service. Hopline's services have fixed colours. */
export function serviceClass(name) {
  const known = KNOWN.indexOf(name);
  if (known >= 0) return `s${known}`;
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return `s${KNOWN.length + (hash % 3)}`;
}

/** Return the name of a service in its colour. */
export function service(name, text = name) {
  return el("span", { class: `service ${serviceClass(name)}` }, text);
}

/** Format a duration in microseconds with about three digits. The unit fits the rounded value: 999.6 ms are 1.00 s. */
export function duration(us) {
  const rounded = Number(us.toPrecision(3));
  if (rounded < 1000) return `${Math.round(us)} µs`;
  if (rounded < 1_000_000) return `${digits(us / 1000)} ms`;
  if (rounded < 60_000_000) return `${digits(us / 1_000_000)} s`;
  return `${digits(us / 60_000_000)} min`;
}

/** Format a number with about three digits. */
export function digits(number) {
  const rounded = Number(number.toPrecision(3));
  return rounded >= 100 ? number.toFixed(0) : rounded >= 10 ? number.toFixed(1) : number.toFixed(2);
}

const DAY = { year: "numeric", month: "2-digit", day: "2-digit" };
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" };
const moments = new Intl.DateTimeFormat(undefined, { ...DAY, ...CLOCK });
const clocks = new Intl.DateTimeFormat(undefined, CLOCK);

/** Format microseconds since the epoch as local date and time. */
export function moment(us) {
  return moments.format(us / 1000);
}

/** Format microseconds since the epoch as local time of day. */
export function clock(us) {
  return clocks.format(us / 1000);
}

const OWN_PORT = Number(document.documentElement.dataset.port); // the usual port, without an offset

/** Return an address of another backend: the same host, and its usual port plus this page's offset. */
export function neighbour(usualPort, path = "/") {
  return `${location.protocol}//${location.hostname}:${Number(location.port) - OWN_PORT + usualPort}${path}`;
}

for (const link of document.querySelectorAll("a[data-port]")) link.href = neighbour(Number(link.dataset.port), link.getAttribute("href"));

/** Format a number with its noun, in the plural unless the number is 1. */
export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Show an error in place of the content. */
export function showError(place, error) {
  place.replaceChildren(el("p", { class: "empty bad", role: "alert" }, String(error.message ?? error)));
}
