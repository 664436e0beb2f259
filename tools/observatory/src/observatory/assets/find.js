// Finding spans within a trace: what does not fit is dimmed, Enter goes on to the next that does.

import { el } from "./page.js";

/** Return the field. `texts` has what is searched of each span by its id; `go` shows one. */
export function finder({ texts, go }) {
  const said = el("span", { class: "quiet number", role: "status" });
  const field = el("input", { type: "search", placeholder: "operation, attribute, log line", autocomplete: "off", spellcheck: "false" });
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
    said.textContent = words.length ? `${found.length} of ${texts.size}` : "";
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !found.length) return;
    event.preventDefault();
    place = (place + (event.shiftKey ? -1 : 1) + found.length) % found.length;
    said.textContent = `${place + 1} of ${found.length}`;
    go(found[place]);
  });
  return el("label", { class: "find" }, "Find in this trace ", field, said);
}
