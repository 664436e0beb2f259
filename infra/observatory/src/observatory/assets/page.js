// What every page needs: building elements from text only, and writing times, durations and services.

/** Make an element. Children are nodes or text; text is set, never parsed, so nothing becomes markup. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** Fetch JSON from this port; throws with the status when it is none. */
export async function read(path) {
  const response = await fetch(path);
  if (!response.ok && response.status !== 400 && response.status !== 404) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

const KNOWN = ["gateway", "users", "orders", "notifications", "workers"];

/** The class that colours a service: the project's own have fixed ones. */
export function serviceClass(name) {
  const known = KNOWN.indexOf(name);
  if (known >= 0) return `s${known}`;
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return `s${KNOWN.length + (hash % 3)}`;
}

export function service(name, text = name) {
  return el("span", { class: `service ${serviceClass(name)}` }, text);
}

/** A duration in microseconds, with about three digits. */
export function duration(us) {
  if (us < 1000) return `${us} µs`;
  if (us < 1_000_000) return `${trim(us / 1000)} ms`;
  if (us < 60_000_000) return `${trim(us / 1_000_000)} s`;
  return `${trim(us / 60_000_000)} min`;
}

function trim(number) {
  return number >= 100 ? number.toFixed(0) : number >= 10 ? number.toFixed(1) : number.toFixed(2);
}

const MOMENT = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});

/** Microseconds since the epoch as local date and time. */
export function moment(us) {
  return MOMENT.format(new Date(us / 1000));
}

/** The same host with another backend's usual port, moved by the offset this page was served with. */
export function neighbour(ownUsual, otherUsual, path = "/") {
  return `${location.protocol}//${location.hostname}:${Number(location.port) - ownUsual + otherUsual}${path}`;
}

/** A count with its noun. */
export function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Show a failure where the content would be. */
export function failure(place, error) {
  place.replaceChildren(el("p", { class: "empty bad", role: "alert" }, String(error.message ?? error)));
}
