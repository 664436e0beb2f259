/** Parses the text of server frames. */

import type { NotificationFrame, RoomFrame } from "./frames";

export type ServerFrame =
  | NotificationFrame
  | RoomFrame
  | {
      readonly t: "welcome";
      readonly head: number;
      readonly read_seq: number;
      readonly recovered: boolean;
      readonly ping_s: number;
    }
  | { readonly t: "ping"; readonly head: number; readonly read_seq: number }
  | { readonly t: "read"; readonly read_seq: number }
  | { readonly t: "drain"; readonly retry_ms: number };

/** The fields that a frame must have, with their types. */
const SHAPES: Readonly<Record<ServerFrame["t"], Readonly<Record<string, "number" | "string" | "boolean" | "object">>>> = {
  n: { seq: "number", id: "string", kind: "string", data: "object", at: "string" },
  welcome: { head: "number", read_seq: "number", recovered: "boolean", ping_s: "number" },
  ping: { head: "number", read_seq: "number" },
  read: { read_seq: "number" },
  drain: { retry_ms: "number" },
  joined: { room: "string" },
  join_rejected: { room: "string", reason: "string" },
  left: { room: "string" },
  stock: { room: "string", available: "number", version: "number" },
  viewers: { room: "string", viewers: "number" },
};

/** Return the frame, or undefined if it is malformed or its type is unknown. */
export function parseFrame(text: string): ServerFrame | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const frame = value as Record<string, unknown>;
  const type = frame.t;
  if (typeof type !== "string" || !Object.hasOwn(SHAPES, type)) return undefined;
  const shape = SHAPES[type as ServerFrame["t"]];
  const isComplete = Object.entries(shape).every(([field, expected]) => typeof frame[field] === expected && frame[field] !== null);
  return isComplete ? (frame as unknown as ServerFrame) : undefined;
}
