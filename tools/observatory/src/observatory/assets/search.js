// Converts the search between the address, the form and the query to the server.

import { el, read } from "./page.js";

const PLAIN = ["service", "operation", "minDuration", "maxDuration", "lookback", "limit", "tag", "tags", "start", "end"];
const PAIR_OR_WORD = /([^\s=:"]+)[=:](?:"([^"]*)"|(\S*))|\S+/g;

/** Return the search in the address. */
export function addressSearch() {
  return new URLSearchParams(location.search);
}

/**
 * Return the query of /observatory/traces: Jaeger's parameters, with attributes and `failed` as tags. A word that is not a
 * pair is passed on too, so that the server rejects it.
 */
export function queryOf(search) {
  const question = new URLSearchParams([...search].filter(([name, value]) => PLAIN.includes(name) && value !== ""));
  for (const [word, name, quoted, bare] of (search.get("attributes") ?? "").matchAll(PAIR_OR_WORD)) question.append("tag", name ? `${name}:${quoted ?? bare}` : word);
  if (search.get("failed")) question.append("tag", "error:true");
  if (!question.has("limit")) question.set("limit", "50");
  return question;
}

/** Write the form's search to the address, as a new entry of the history or instead of the current one. */
export function writeAddress(form, { push }) {
  const search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  const address = `${location.pathname}?${search}`;
  if (push) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}

/** Write the address's search to the form, with the existing services and operations as choices. */
export async function fillForm(form) {
  const search = addressSearch();
  const { service, operation } = form.elements;
  for (const name of ["attributes", "minDuration", "maxDuration"]) form.elements[name].value = search.get(name) ?? "";
  for (const name of ["lookback", "limit"]) if (search.has(name)) form.elements[name].value = search.get(name);
  for (const name of ["failed", "live"]) form.elements[name].checked = search.has(name);
  service.onchange = () => fill(operation, operationsOf(service.value), "").catch(() => {});
  await Promise.all([fill(service, "/api/services", search.get("service")), fill(operation, operationsOf(search.get("service")), search.get("operation"))]);
}

async function fill(select, path, chosen) {
  const names = path ? (await read(path)).data : [];
  if (chosen && !names.includes(chosen)) names.push(chosen);
  select.replaceChildren(el("option", { value: "" }, "any"), ...names.map((name) => el("option", { value: name, selected: name === chosen }, name)));
}

function operationsOf(name) {
  return name ? `/api/services/${encodeURIComponent(name)}/operations` : null;
}
