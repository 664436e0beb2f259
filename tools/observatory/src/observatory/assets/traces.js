// The list of traces, newest first, and its search. The address contains the search, so that it can be shared.

import { refreshWhileChecked } from "./live.js";
import { counted, el, read, showError } from "./page.js";
import { scatter } from "./scatter.js";
import { addressSearch, fillForm, queryOf, writeAddress } from "./search.js";
import { traceTable } from "./trace_table.js";

const form = document.getElementById("search");
const found = document.getElementById("found");
const place = document.getElementById("traces");
const picture = document.getElementById("scatter");
const table = traceTable();

async function show() {
  const { traces } = await read(`/observatory/traces?${queryOf(addressSearch())}`);
  found.textContent = traces.length ? `${counted(traces.length, "trace")}${traces.length === Number(addressSearch().get("limit") ?? 50) ? " (the limit)" : ""}` : "";
  table.show(traces);
  if (traces.length && table.element.isConnected) return scatter(picture, traces); // inserting the table again would remove the focus
  if (traces.length) place.replaceChildren(table.element);
  else place.replaceChildren(el("p", { class: "empty" }, "No trace found. Place an order, or run “make demo”."));
  scatter(picture, traces);
}

async function contents() {
  const { traces, spans, logs, mails, limits } = await read("/observatory/contents");
  document.getElementById("contents").textContent =
    `In memory: ${traces} of ${limits.traces} traces, ${spans} of ${limits.spans} spans, ${logs} of ${limits.logs} log records, ` +
    `${mails} of ${limits.mails} emails. The oldest are evicted first; all data is lost when the process ends.`;
}

async function refresh() {
  await Promise.all([show(), contents()]).catch((error) => {
    found.textContent = "";
    showError(place, error);
    throw error;
  });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  writeAddress(form, { push: true });
  refresh().catch(() => {});
});
form.elements.live.addEventListener("change", () => writeAddress(form, { push: false }));
addEventListener("popstate", () => {
  fillForm(form).catch(() => {});
  refresh().catch(() => {});
});

await fillForm(form).catch(() => {});
await refresh().catch(() => {});
refreshWhileChecked(form.elements.live, refresh);
