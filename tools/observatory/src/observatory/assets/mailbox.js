// The list of emails, newest first, and their search.

import { clock, el, showError } from "./page.js";

const parameters = new URLSearchParams(location.search);
const query = parameters.get("query") ?? parameters.get("q") ?? ""; // Mailpit's own page calls it q
const place = document.getElementById("mails");
const MAX_SHOWN = 100;

const person = ({ Name, Address }) => Name || Address;

function row(mail) {
  return el("li", {}, el("a", { href: `/view/${encodeURIComponent(mail.ID)}` },
    el("div", { class: mail.Read ? "row-head" : "row-head unread" },
      el("span", {}, mail.To.map(person).join(", ")),
      el("span", {}, mail.Subject || "(no subject)"),
      el("span", { class: "quiet number" }, clock(Date.parse(mail.Created) * 1000))),
    el("div", { class: "quiet" }, mail.Snippet)));
}

async function start() {
  document.getElementById("search").elements.query.value = query;
  const response = await fetch(query ? `/api/v1/search?limit=${MAX_SHOWN}&query=${encodeURIComponent(query)}` : `/api/v1/messages?limit=${MAX_SHOWN}`);
  if (!response.ok) throw new Error(await response.text());
  const { messages, messages_count: found } = await response.json();
  const more = found > messages.length ? [el("p", { class: "quiet" }, `The newest ${messages.length} of ${found} emails. Search to find the others.`)] : [];
  place.replaceChildren(...more, messages.length
    ? el("ol", { class: "rows" }, ...messages.map(row))
    : el("p", { class: "empty" }, query ? "No email matches." : "No email has arrived yet. Register, or place an order."));
}

start().catch((error) => showError(place, error));
