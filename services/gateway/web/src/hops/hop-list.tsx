/** The hops of an action in their order, on one timeline. */

import { formatDuration } from "./format";
import type { Hop } from "./model";
import { createTimeline, type Timeline } from "./timeline";

const MARKS = { waiting: "○", reached: "●", failed: "✕" };
const SOURCES = { response: "by the response", notification: "by the notification", span: "by a span" };

export function HopList({ hops }: { readonly hops: readonly Hop[] }) {
  const line = createTimeline(hops);
  return (
    <>
      <div class="hop-axis" aria-hidden="true">
        {line.ticks.map(({ milliseconds, position }) => (
          <span key={milliseconds} style={{ insetInlineStart: percent(position) }}>
            {formatTick(milliseconds)}
          </span>
        ))}
      </div>
      <ol class="hop-list">
        {hops.map((hop) => (
          <HopItem key={hop.id} hop={hop} line={line} />
        ))}
      </ol>
    </>
  );
}

function HopItem({ hop, line }: { readonly hop: Hop; readonly line: Timeline }) {
  const { state, label, service, at } = hop;
  return (
    <li class="hop" data-state={state} data-service={service} data-hop={hop.id}>
      <span class="hop-mark" aria-hidden="true">
        {MARKS[state]}
      </span>
      <span class="hop-label">{label}</span>
      <span class="hop-state">{stateText(hop)}</span>
      <span class="hop-track" aria-hidden="true">
        {at !== undefined && <Bar hop={hop} at={at} line={line} />}
      </span>
      <span class="hop-note">{noteOf(hop)}</span>
    </li>
  );
}

function Bar({ hop, at, line }: { readonly hop: Hop; readonly at: number; readonly line: Timeline }) {
  const left = line.position(at - (hop.duration ?? 0));
  const width = line.position(at) - left;
  return <span class="hop-bar" style={{ insetInlineStart: `min(${percent(left)}, calc(100% - 4px))`, inlineSize: percent(width) }} />;
}

function stateText({ state, at, reason }: Hop): string {
  if (state === "waiting") return reason ?? "waiting";
  const time = at === undefined ? "reached" : `+${formatDuration(at)}`;
  return state === "failed" ? `failed ${time}` : time;
}

function noteOf({ state, duration, source, reason }: Hop): string {
  if (state === "waiting") return "";
  const parts = [
    reason,
    duration === undefined ? undefined : `lasted ${formatDuration(duration)}`,
    source === undefined ? undefined : SOURCES[source],
  ];
  return parts.filter((part) => part !== undefined).join(" · ");
}

function formatTick(milliseconds: number): string {
  return milliseconds < 1_000 ? `${milliseconds} ms` : `${milliseconds / 1_000} s`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}
