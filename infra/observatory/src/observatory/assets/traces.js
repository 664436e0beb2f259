// The list of traces, newest first, and its search. The address holds the search, so it can be shared.

import { counted, duration, el, failure, moment, neighbour, read, service } from "./page.js";

const asked = new URLSearchParams(location.search);
const form = document.getElementById("search");
const place = document.getElementById("traces");

async function fill(select, path, chosen) {
  const names = path ? (await read(path)).data : [];
  select.replaceChildren(
    el("option", { value: "" }, "any"),
    ...names.map((name) => el("option", { value: name, selected: name === chosen }, name)),
  );
}

function operationsOf(name) {
  return name ? `/api/services/${encodeURIComponent(name)}/operations` : null;
}

function row(trace, longest) {
  const share = el("i");
  share.style.width = `${(100 * trace.duration_us) / longest}%`;
  return el("li", {}, el("a", { href: `/trace/${trace.trace_id}` },
    el("div", { class: "row-head" },
      service(trace.service),
      el("span", {}, trace.operation),
      trace.errors ? el("span", { class: "bad" }, `${trace.errors} failed`) : null,
      el("span", { class: "number" }, duration(trace.duration_us))),
    el("div", { class: "meter" }, share),
    el("div", { class: "chips" },
      el("span", { class: "quiet number" }, moment(trace.start_us)),
      el("span", { class: "quiet number" }, counted(trace.spans, "span")),
      ...Object.entries(trace.services).map(([name, count]) => service(name, `${name} ${count}`)),
      el("span", { class: "quiet mono" }, trace.trace_id.slice(0, 12)))));
}

async function show() {
  const query = new URLSearchParams([...asked].filter(([, value]) => value !== ""));
  if (!query.has("limit")) query.set("limit", "50");
  const answer = await read(`/observatory/traces?${query}`);
  if (answer.errors) throw new Error(answer.errors[0].msg);
  if (!answer.traces.length) {
    place.replaceChildren(el("p", { class: "empty" }, "No trace found. Place an order, or run “make demo”."));
    return;
  }
  const longest = Math.max(1, ...answer.traces.map((trace) => trace.duration_us));
  place.replaceChildren(el("ol", { class: "rows" }, ...answer.traces.map((trace) => row(trace, longest))));
}

async function start() {
  document.getElementById("mailbox").href = neighbour(16686, 8025);
  for (const name of ["minDuration", "tag", "limit"]) if (asked.get(name)) form.elements[name].value = asked.get(name);
  const { service: services, operation: operations } = form.elements;
  services.addEventListener("change", () => fill(operations, operationsOf(services.value), ""));
  await Promise.all([
    show(),
    fill(services, "/api/services", asked.get("service")),
    fill(operations, operationsOf(asked.get("service")), asked.get("operation")),
  ]);
  const kept = await read("/observatory/contents");
  document.getElementById("contents").textContent =
    `Kept in memory: ${kept.traces} of ${kept.limits.traces} traces, ${kept.spans} of ${kept.limits.spans} spans, ` +
    `${kept.logs} of ${kept.limits.logs} log lines, ${kept.mails} of ${kept.limits.mails} emails. ` +
    "The oldest go first, and all of it goes with the process: a stand-in for development.";
}

start().catch((error) => failure(place, error));
