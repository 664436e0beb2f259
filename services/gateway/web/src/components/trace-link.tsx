/** The id of a trace, linked to the trace viewer if one is configured. */

import { config } from "../state/config";

export function TraceLink({ traceId }: { readonly traceId: string }) {
  const { traces } = config.value.links;
  if (!traces) return <code>{traceId}</code>;
  return (
    <a href={`${traces.replace(/\/$/, "")}/trace/${traceId}`} target="_blank" rel="noreferrer">
      <code>{traceId}</code>
    </a>
  );
}
