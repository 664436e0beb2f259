// Details that a span's name omits: the table of a statement, the path of a request, the type of an event.

const NAMING = ["hopline.notification.kind", "cloudevents.event_type", "db.collection.name"];
const WRITTEN = /\b(?:INTO|(?<!FOR\s)UPDATE)\s+"?([a-z_][a-z0-9_.]*)/i;
const READ = /\b(?:FROM|JOIN)\s+"?([a-z_][a-z0-9_.]*)"?(?!\s*\(|[a-z0-9_.])/i;

/** Return the detail that the operation's name omits, "" if it is unknown. `tags` is a Map. */
export function about(operation, tags) {
  for (const name of NAMING) if (tags.get(name)) return String(tags.get(name));
  const statement = tags.get("db.query.text");
  if (statement) {
    const table = (WRITTEN.exec(statement) ?? READ.exec(statement))?.[1] ?? "";
    return operation.includes(table) ? "" : table;
  }
  if (tags.get("span.kind") === "client" && operation === tags.get("http.request.method") && URL.canParse(tags.get("url.full"))) {
    return new URL(tags.get("url.full")).pathname;
  }
  return "";
}
