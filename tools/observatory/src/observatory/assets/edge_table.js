// The connections of the map as a table, also for screen readers.

import { digits, duration, el, service } from "./page.js";
import { perMinute } from "./map_drawing.js";

const HEADS = ["From", "To", "Calls", "Rate", "Failed", "p50", "p95", "Waited p50", "p95"];

export function edgeTable({ seconds, edges }) {
  const rows = [...edges].sort((a, b) => b.calls - a.calls).map((edge) => el("tr", {},
    el("td", {}, name(edge.from)),
    el("td", {}, name(edge.to)),
    ...[
      edge.calls,
      perMinute(edge.calls, seconds),
      edge.errors ? el("span", { class: "bad" }, `${edge.errors} (${digits((100 * edge.errors) / edge.calls)} %)`) : "",
      ...[edge.p50_us, edge.p95_us, edge.waited_p50_us, edge.waited_p95_us].map((us) => (us == null ? "" : duration(us))),
    ].map((value) => el("td", { class: "number right" }, value))));
  return el("table", { class: "rows edges" },
    el("caption", { class: "sr" }, "Calls between nodes"),
    el("thead", {}, el("tr", {}, ...HEADS.map((head, index) => el("th", { scope: "col", class: index > 1 ? "right" : null }, head)))),
    el("tbody", {}, ...rows));
}

function name({ kind, name: text }) {
  return kind === "service" ? service(text) : el("span", { class: `peer ${kind}` }, text);
}
