// The search within a trace: other spans are dimmed, and Enter moves to the next match.

import { el } from "./page.js";

/** Return the search field. `texts` has the searchable text of each span by id; `go` shows a span. */
export function finder({ texts, go }) {
  const count = el("span", { class: "quiet number", role: "status" });
  const field = el("input", { type: "search", placeholder: "operation, attribute, log record", autocomplete: "off", spellcheck: "false" });
  let found = [];
  let place = -1;
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = [];
    place = -1;
    for (const [id, text] of texts) {
      const fits = words.every((word) => text.includes(word));
      document.getElementById(id).classList.toggle("dim", !fits);
      if (fits && words.length) found.push(id);
    }
    count.textContent = words.length ? `${found.length} of ${texts.size}` : "";
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !found.length) return;
    event.preventDefault();
    place = (place + (event.shiftKey ? -1 : 1) + found.length) % found.length;
    count.textContent = `${place + 1} of ${found.length}`;
    go(found[place]);
  });
  return el("label", { class: "find" }, "Find in this trace ", field, count);
}
