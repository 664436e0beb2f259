/** The frames of the WebSocket (docs/asyncapi.yaml) that a page uses. */

export interface NotificationFrame {
  readonly t: "n";
  readonly seq: number;
  readonly id: string;
  readonly kind: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly at: string;
  readonly traceparent?: string;
}

export type RoomFrame =
  | { readonly t: "joined"; readonly room: string }
  | { readonly t: "join_rejected"; readonly room: string; readonly reason: string }
  | { readonly t: "left"; readonly room: string }
  | { readonly t: "stock"; readonly room: string; readonly available: number; readonly version: number }
  | { readonly t: "viewers"; readonly room: string; readonly viewers: number };

/** The state of the connection, as the page shows it. */
export interface ConnectionState {
  readonly phase: "stopped" | "connecting" | "open" | "waiting" | "draining";
  /** Number of the next or current attempt to connect again; after a lasting connection it begins at 1. */
  readonly attempt: number;
  /** When the next attempt begins, in milliseconds on the clock of `Date.now()`; only while waiting. */
  readonly retryAt?: number;
  /** The close code that ended the last socket; 1006 if the client closed it, for example because it was silent. */
  readonly closeCode?: number;
  /**
   * How the connection resumed: the notifications replayed after the stored cursor, and the gaps read over REST.
   *
   * Undefined until all of them were delivered. A later gap does not change it.
   */
  readonly resumed?: { readonly replayed: number; readonly gaps: number };
}

export type RealtimeEvent =
  | { readonly type: "state"; readonly state: ConnectionState }
  | { readonly type: "notification"; readonly frame: NotificationFrame }
  | { readonly type: "read"; readonly readSeq: number }
  | { readonly type: "room"; readonly frame: RoomFrame };
