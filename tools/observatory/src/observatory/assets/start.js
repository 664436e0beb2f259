// The start page: links to everything, and how much there is to see.

import { counted, read, showError } from "./page.js";

const NOUNS = { traces: "trace", series: "series", logs: "log record", mails: "email" };

/** Write the numbers beside the links. */
async function show() {
  const contents = await read("/observatory/contents");
  for (const [id, noun] of Object.entries(NOUNS)) {
    document.getElementById(id).textContent = noun === "series" ? `(${contents[id]} series)` : `(${counted(contents[id], noun)})`;
  }
}

await show().catch((error) => showError(document.getElementById("kept"), error));
