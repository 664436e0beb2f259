/** The id of a trace, with a link if there are pages of traces. */

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
