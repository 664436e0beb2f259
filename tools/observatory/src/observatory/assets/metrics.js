// The metrics page. A figure covers the chosen window, and the line below it shows its latest values.

import { refreshWhileChecked } from "./live.js";
import { metricTable } from "./metric_table.js";
import { counted, digits, el, read, showError } from "./page.js";

const EVERY_MS = 5000; // the services export every ten seconds
const MEBIBYTE = 1024 * 1024;
const form = document.getElementById("window");
const place = document.getElementById("tables");
const list = document.getElementById("tables-list");
const summary = document.getElementById("summary");

async function show() {
  const { tables, kept } = await read(`/observatory/metrics?${new URLSearchParams({ window: form.elements.window.value })}`);
  const filled = tables.filter(({ rows, error }) => rows.length || error);
  const empty = tables.filter((table) => !filled.includes(table)).map(({ title }) => title);
  summary.textContent = filled.length && empty.length ? `No values yet: ${empty.join(", ")}` : "";
  document.getElementById("kept").textContent = footer(kept);
  const focused = document.activeElement?.dataset?.key;
  list.replaceChildren(...filled.map(({ id, title }) => el("a", { href: `#${id}` }, title)));
  if (filled.length) place.replaceChildren(...filled.map(metricTable));
  else place.replaceChildren(el("p", { class: "empty" }, "No metrics yet. The services send them every ten seconds: start the stack, then place an order or run “make demo”."));
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function footer({ series, points, bytes, evicted, dropped, limits }) {
  const reasons = Object.entries(dropped).map(([reason, number]) => `${number} (${reason})`);
  return [
    `Kept in memory: ${series} of ${limits.series} series, ${counted(points, "point")}, ${digits(bytes / MEBIBYTE)} of ${digits(limits.total_bytes / MEBIBYTE)} MiB,`,
    `${Math.round(limits.seconds / 60)} minutes and at most ${limits.rows} points of each series.`,
    reasons.length ? `Points that were dropped: ${reasons.join(", ")}.` : "No point was dropped.",
    evicted ? `${evicted} of the oldest points were removed early to save memory.` : "",
  ].join(" ");
}

async function refresh() {
  await show().catch((error) => {
    summary.textContent = "";
    showError(place, error);
    throw error;
  });
}

const search = new URLSearchParams(location.search);
if (search.has("window")) form.elements.window.value = search.get("window");
form.elements.live.checked = search.has("live");
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", () => {
  history.replaceState(null, "", `/?${new URLSearchParams(new FormData(form))}`);
  refresh().catch(() => {});
});
await refresh().catch(() => {});
refreshWhileChecked(form.elements.live, refresh, EVERY_MS);
