// One email with a link to its trace. Its HTML is shown in a frame that cannot run scripts or load anything.

import { el, moment, neighbour, read, showError } from "./page.js";

const id = location.pathname.split("/").at(-1);
const place = document.getElementById("main");

const GONE = "there is no such email: it has not arrived yet, or was evicted";

const people = (addresses) => addresses.map(({ Name, Address }) => (Name ? `${Name} <${Address}>` : Address)).join(", ");

function fact(name, value) {
  return value ? el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)) : null;
}

function traceLink(headers) {
  const trace = (headers["X-Trace-Id"]?.[0] ?? "").trim();
  return /^[0-9a-f]{32}$/.test(trace) ? el("a", { class: "mono", href: neighbour(16686, `/trace/${trace}`) }, trace) : null;
}

async function start() {
  const [response, headers] = await Promise.all([fetch(`/api/v1/message/${id}`), read(`/api/v1/message/${id}/headers`).catch(() => ({}))]);
  if (!response.ok) throw new Error(response.status === 404 ? GONE : await response.text());
  const mail = await response.json();
  document.title = `${mail.Subject} · Hopline observatory`;
  place.replaceChildren(
    el("h1", {}, mail.Subject || "(no subject)"),
    el("table", { class: "facts" }, el("tbody", {},
      fact("From", people([mail.From])), fact("To", people(mail.To)), fact("Cc", people(mail.Cc)), fact("Bcc", people(mail.Bcc)),
      fact("Date", moment(Date.parse(mail.Date) * 1000)), fact("Message-ID", mail.MessageID), fact("Trace", traceLink(headers)),
      fact("Attachments", mail.Attachments.map((part) => part.FileName).join(", ")),
      fact("Source", el("a", { href: `/api/v1/message/${encodeURIComponent(mail.ID)}/raw` }, "raw message")))),
    el("div", { class: "mail" },
      mail.HTML ? el("iframe", { src: `/view/${encodeURIComponent(mail.ID)}.html`, sandbox: true, title: "HTML of the email" }) : null,
      mail.Text ? el("pre", {}, mail.Text) : null));
}

start().catch((error) => showError(place, error));
