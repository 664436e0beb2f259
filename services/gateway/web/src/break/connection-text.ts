/** The state of the WebSocket in words. */

import type { ConnectionState } from "../realtime/frames";
import type { Effect } from "./effects";

const PHASES: Readonly<Record<ConnectionState["phase"], string>> = {
  stopped: "Not connected",
  connecting: "Connecting",
  open: "Open",
  waiting: "Waiting before the next attempt",
  draining: "Open until the server closes it",
};
const CODES: Readonly<Record<number, string>> = {
  1006: "the connection was lost",
  1012: "the process ended",
  1013: "a store of the server is unavailable",
  4008: "this page read too slowly",
  4401: "the ticket was rejected",
  4408: "this page did not respond to a ping",
  4429: "too many connections",
};

export function connectionText({ phase, attempt, closeCode }: ConnectionState): string {
  if (isOpen(phase)) return PHASES[phase];
  const retry = attempt > 0 ? ` (retry ${attempt})` : "";
  const reason = closeCode === undefined ? "" : `; closed with ${closeCode}: ${CODES[closeCode] ?? "see the documentation"}`;
  return `${PHASES[phase]}${retry}${reason}`;
}

/** Whether notifications arrive. In these phases, `attempt` and `closeCode` describe earlier sockets. */
function isOpen(phase: ConnectionState["phase"]): boolean {
  return phase === "open" || phase === "draining";
}

/** Return the entry of the effect log for a change of the connection, or undefined if it needs none. */
export function connectionEffect(before: ConnectionState, after: ConnectionState): Effect | undefined {
  if (isOpen(before.phase) && after.phase === "waiting") return { severity: "bad", text: `WebSocket: ${connectionText(after)}` };
  // A new tab receives the state of a connection that may have resumed long ago.
  const hasResumed = before.phase !== "stopped" && before.resumed === undefined && after.resumed !== undefined;
  if (!hasResumed || after.closeCode === undefined) return undefined;
  return { severity: "good", text: `WebSocket: ${resumedText(after)}` };
}

/** Return how the connection resumed, or why this is not known yet. */
export function resumedText({ phase, resumed, closeCode }: ConnectionState): string {
  if (!isOpen(phase)) return "Notifications arrive when it is open.";
  // The first connection resumes from the stored cursor as well, but then no socket has been closed.
  if (closeCode === undefined) return "It has not been interrupted.";
  if (resumed === undefined) return "Missed notifications are being delivered.";
  const { replayed, gaps } = resumed;
  const notifications = replayed === 1 ? "1 notification" : `${replayed} notifications`;
  const gap = gaps === 0 ? "Resumed without gap" : `Resumed with ${gaps === 1 ? "1 gap that was" : `${gaps} gaps that were`} read over HTTP`;
  return `${gap}: ${notifications} replayed.`;
}
