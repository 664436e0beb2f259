// The service map: calls and messages of the last minutes, with rates, durations and failures.

import { drawing } from "./map_drawing.js";
import { edgeTable } from "./edge_table.js";
import { refreshWhileChecked } from "./live.js";
import { counted, duration, el, read, showError } from "./page.js";

const form = document.getElementById("window");
const place = document.getElementById("map");
const ASIDE = new Set(["store", "host"]); // shown on demand, because every service has a database

async function show() {
  const { lookback, stores } = form.elements;
  const map = await read(`/observatory/map?${new URLSearchParams({ lookback: lookback.value })}`);
  const calls = map.edges.reduce((sum, edge) => sum + edge.calls, 0);
  const failed = map.edges.reduce((sum, edge) => sum + edge.errors, 0);
  document.getElementById("summary").textContent = calls
    ? `${counted(calls, "call")} in ${duration(map.seconds * 1_000_000)}, ${failed ? `${failed} of them failed` : "none of them failed"}`
    : "";
  if (!calls) {
    document.getElementById("edges").replaceChildren();
    return place.replaceChildren(el("p", { class: "empty" }, "There were no calls in this time. Place an order, or run “make demo”."));
  }
  const shown = ({ kind }) => stores.checked || !ASIDE.has(kind);
  const edges = map.edges.filter(({ source, target }) => shown(source) && shown(target)).map(withIds);
  place.replaceChildren(drawing({ seconds: map.seconds, nodes: ordered(map.nodes.filter(shown)), edges }));
  document.getElementById("edges").replaceChildren(edgeTable({ seconds: map.seconds, edges: map.edges.map(withIds) }));
}

function withIds(edge) {
  return { ...edge, from: edge.source, to: edge.target, source: idOf(edge.source), target: idOf(edge.target) };
}

function idOf({ kind, name }) {
  return `${kind} ${name}`;
}

/** Return the nodes with their ids, the node outside first, because the layout begins with it. */
function ordered(nodes) {
  const rank = (node) => (node.kind === "outside" ? 0 : 1);
  return nodes.map((node) => ({ ...node, id: idOf(node) })).sort((a, b) => rank(a) - rank(b) || b.calls - a.calls);
}

async function refresh() {
  await show().catch((error) => {
    showError(place, error);
    throw error;
  });
}

const search = new URLSearchParams(location.search);
if (search.has("lookback")) form.elements.lookback.value = search.get("lookback");
for (const name of ["stores", "live"]) form.elements[name].checked = search.has(name);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", () => {
  history.replaceState(null, "", `/map?${new URLSearchParams(new FormData(form))}`);
  refresh().catch(() => {});
});
await refresh().catch(() => {});
refreshWhileChecked(form.elements.live, refresh);
