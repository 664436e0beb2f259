// One email. Its HTML is shown in a frame that may run no script and load nothing.

import { el, failure, neighbour } from "./page.js";

const id = location.pathname.split("/").at(-1);
const place = document.getElementById("mail");

const people = (addresses) => addresses.map(({ Name, Address }) => (Name ? `${Name} <${Address}>` : Address)).join(", ");

function fact(name, value) {
  return value ? el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value)) : null;
}

async function start() {
  document.getElementById("traces").href = neighbour(8025, 16686);
  const response = await fetch(`/api/v1/message/${id}`);
  if (!response.ok) throw new Error(await response.text());
  const mail = await response.json();
  document.title = `${mail.Subject} · Hopline observatory`;
  place.replaceChildren(
    el("h1", {}, mail.Subject || "(no subject)"),
    el("div", { class: "details" }, el("table", {}, el("tbody", {},
      fact("From", people([mail.From])), fact("To", people(mail.To)), fact("Cc", people(mail.Cc)), fact("Bcc", people(mail.Bcc)),
      fact("Date", new Date(mail.Date).toLocaleString()), fact("Message-ID", mail.MessageID),
      fact("Attachments", mail.Attachments.map((part) => part.FileName).join(", ")),
      el("tr", {}, el("th", {}, "Source"), el("td", {}, el("a", { href: `/api/v1/message/${mail.ID}/raw` }, "raw message")))))),
    el("div", { class: "mail" },
      mail.HTML ? el("iframe", { src: `/view/${mail.ID}.html`, sandbox: true, title: "HTML of the email" }) : null,
      mail.Text ? el("pre", {}, mail.Text) : null));
}

start().catch((error) => failure(place, error));
