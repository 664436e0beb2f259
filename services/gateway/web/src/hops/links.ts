/** Addresses of an action's trace, log records and emails in the tools of the stack. */

import type { TraceSpan } from "./trace";

export interface ToolLink {
  readonly text: string;
  readonly address: string;
}

type Links = Readonly<Record<string, string | null>>;

const MESSAGE_ID = "hopline.email.message_id";

/** Return the links that the configuration allows. */
export function linksOf(links: Links, traceId: string, spans: readonly TraceSpan[]): ToolLink[] {
  const { traces, logs, mail } = links;
  const found: ToolLink[] = [];
  // Without a tool for logs, the viewer of traces is the observatory, which shows the log records of each span.
  const text = logs ? "Trace" : "Trace with its log records";
  if (traces) found.push({ text, address: `${withoutSlash(traces)}/trace/${traceId}` });
  if (logs) found.push({ text: "Log records", address: logsAddress(logs, traceId) });
  if (mail) found.push(...emailsOf(spans).map((id, index) => emailLink(mail, id, index)));
  return found;
}

/** Return the address of a trace's log records in Grafana's Explore. It shows those of the last hour. */
function logsAddress(logs: string, traceId: string): string {
  const expr = `{service_namespace="hopline"} | trace_id=\`${traceId}\``;
  const query = { refId: "A", expr };
  const pane = { datasource: "loki", queries: [query], range: { from: "now-1h", to: "now" } };
  const parameters = new URLSearchParams({ schemaVersion: "1", panes: JSON.stringify({ logs: pane }) });
  return `${withoutSlash(logs)}?${parameters.toString()}`;
}

/** Return the message ids of the sent emails, in the order of their spans. */
function emailsOf(spans: readonly TraceSpan[]): string[] {
  const ordered = [...spans].sort((left, right) => left.start_us - right.start_us);
  const ids = ordered.flatMap(({ attributes }) => attributes[MESSAGE_ID] ?? []).map(String);
  return [...new Set(ids.map((id) => id.replace(/^<|>$/g, "")))];
}

function emailLink(mail: string, messageId: string, index: number): ToolLink {
  const query = new URLSearchParams({ q: `message-id:"${messageId}"` });
  return { text: `Email ${index + 1}`, address: `${withoutSlash(mail)}/search?${query.toString()}` };
}

function withoutSlash(address: string): string {
  return address.replace(/\/$/, "");
}
