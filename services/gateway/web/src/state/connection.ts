/** The WebSocket connection of the browser, which may belong to another tab. */

import { effect, signal } from "@preact/signals";

import { api } from "../api";
import type { Ticket } from "../api/types";
import { Emitter } from "../lib/emitter";
import { storage } from "../lib/storage";
import { RealtimeClient } from "../realtime/client";
import type { ConnectionState, NotificationFrame, RealtimeEvent, RoomFrame } from "../realtime/frames";
import { SharedConnection } from "../realtime/leader";
import { recordFrame } from "../telemetry";
import { announce } from "./announcements";
import {
  acceptFrame,
  clearNotifications,
  fetchNotifications,
  head,
  loadNotifications,
  readSeq,
  readUpTo,
  toFrame,
} from "./notifications";
import { describeNotification } from "./notification-text";
import { userId } from "./session";

const STOPPED: ConnectionState = { phase: "stopped", attempt: 0 };
const POLL_MS = 15_000;

export const connection = signal<ConnectionState>(STOPPED);

/** Notifications in order, without gaps or repeats. */
export const notificationReceived = new Emitter<NotificationFrame>();

/** Frames of the rooms that the tabs of this browser have joined. */
export const roomFrameReceived = new Emitter<RoomFrame>();

const tab = crypto.randomUUID();
/** The rooms of this tab, and by how many callers each is used. */
const rooms = new Map<string, number>();
let isSendingRooms = false;
let shared: SharedConnection | undefined;

/** Receive the frames of a room by `roomFrameReceived`. Return a function that leaves it. */
export function joinRoom(room: string): () => void {
  rooms.set(room, (rooms.get(room) ?? 0) + 1);
  sendRooms();
  return () => {
    const users = (rooms.get(room) ?? 1) - 1;
    if (users > 0) rooms.set(room, users);
    else rooms.delete(room);
    sendRooms();
  };
}

/** Send the rooms once after all changes of this task. A room that is left and joined again in it stays joined. */
function sendRooms(): void {
  if (isSendingRooms) return;
  isSendingRooms = true;
  queueMicrotask(() => {
    isSendingRooms = false;
    shared?.setRooms([...rooms.keys()]);
  });
}

/** Mark all notifications up to `seq` as read, on all devices. */
export async function markRead(seq: number): Promise<void> {
  if (seq <= readSeq.value) return;
  if (shared?.markRead(seq) !== true) {
    await api.json("/v2/notifications/read", { method: "POST", body: { up_to: seq } });
  }
  readUpTo(seq);
}

/** Connect while a user is signed in. */
export function startConnection(): void {
  effect(() => {
    const id = userId.value;
    shared?.stop();
    shared = undefined;
    connection.value = STOPPED;
    clearNotifications();
    if (typeof id === "string") void connect(id);
  });
  addEventListener("online", () => {
    shared?.networkChanged(true);
  });
  addEventListener("offline", () => {
    shared?.networkChanged(false);
  });
  setInterval(() => {
    const isLive = connection.value.phase === "open";
    if (!isLive && document.visibilityState === "visible" && userId.value) void loadNotifications().catch(() => undefined);
  }, POLL_MS);
}

async function connect(id: string): Promise<void> {
  try {
    await loadNotifications();
  } catch {
    // The socket delivers them once it is open.
  }
  if (userId.peek() !== id || shared !== undefined) return;
  const cursorKey = `hopline.cursor.${id}`;
  // On the first connection of a browser, the list already has the old notifications. They need not be replayed.
  if (storage.getItem(cursorKey) === null) storage.setItem(cursorKey, String(head.peek()));
  shared = new SharedConnection(id, {
    locks: navigator.locks,
    openChannel: (name) => new BroadcastChannel(name),
    tab,
    onEvent: receive,
    createClient: (onEvent) =>
      new RealtimeClient({
        requestTicket: async () => (await api.json<Ticket>("/v2/ws-tickets", { method: "POST", background: true })).body,
        readMissed,
        cursor: {
          load: () => Number(storage.getItem(cursorKey) ?? 0),
          save: (seq) => {
            storage.setItem(cursorKey, String(seq));
          },
        },
        onEvent,
      }),
  });
  shared.setRooms([...rooms.keys()]);
  shared.start();
}

async function readMissed(cursor: number, last: number): Promise<NotificationFrame[]> {
  const frames: NotificationFrame[] = [];
  for (let seq = cursor; seq < last; ) {
    const { items } = await fetchNotifications(seq);
    const end = items.at(-1)?.seq;
    if (end === undefined) break;
    frames.push(...items.map(toFrame));
    seq = end;
  }
  return frames.filter((frame) => frame.seq <= last);
}

function receive(event: RealtimeEvent): void {
  switch (event.type) {
    case "state":
      connection.value = event.state;
      break;
    case "read":
      readUpTo(event.readSeq);
      break;
    case "room":
      roomFrameReceived.emit(event.frame);
      break;
    case "notification":
      // There is one span per device, which the tab with the socket records.
      if (shared?.isLeader === true) recordFrame(event.frame);
      if (!acceptFrame(event.frame)) return;
      notificationReceived.emit(event.frame);
      if (event.frame.kind !== "report.progress") announce(describeNotification(event.frame));
      break;
  }
}
