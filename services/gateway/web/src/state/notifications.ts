/** The newest notifications of the user, and the number of unread ones. */

import { computed, signal } from "@preact/signals";

import { api } from "../api";
import type { Notification, NotificationPage } from "../api/types";
import type { NotificationFrame } from "../realtime/frames";
import type { Action } from "../telemetry";

const PAGE = 100;
const MAX_LISTED = 200;

/** Newest first. */
export const notifications = signal<readonly Notification[]>([]);
export const head = signal(0);
export const readSeq = signal(0);
export const unread = computed(() => Math.max(0, head.value - readSeq.value));

/** The `seq` of the last accepted notification, at first the head of the first response; undefined before both. */
let lastAccepted: number | undefined;
/** Increases when the user changes, so that responses to requests of an earlier user can be ignored. */
let generation = 0;

/** Remove the notifications of the user who has signed out. */
export function clearNotifications(): void {
  generation += 1;
  lastAccepted = undefined;
  notifications.value = [];
  head.value = 0;
  readSeq.value = 0;
}

/**
 * Load the newest notifications. A response that arrives after `clearNotifications` is ignored.
 *
 * @throws ProblemError, UnreachableError They cannot be loaded now.
 */
export async function loadNotifications(action?: Action): Promise<void> {
  const generationAtStart = generation;
  let page = await fetchNotifications(0, action);
  // The API has no request for the last page. The head in the first response shows where the last page begins.
  if (page.head > PAGE) page = await fetchNotifications(page.head - PAGE, action);
  if (generationAtStart !== generation) return;
  addNotifications(page.items);
  head.value = Math.max(head.value, page.head);
  lastAccepted ??= page.head;
  readUpTo(page.read_seq);
}

/** Return a page of notifications after `seq`, in order. */
export async function fetchNotifications(seq: number, action?: Action): Promise<NotificationPage> {
  const path = `/v2/notifications?after_seq=${seq}&limit=${PAGE}`;
  const { body } = await api.json<NotificationPage>(path, { action, background: action === undefined });
  return body;
}

/**
 * Add a notification that arrived by the WebSocket. Return false if it repeats an earlier one.
 *
 * A notification that was only listed by a poll, while the socket was closed, is not a repeat, because frames only update
 * reports and the list of orders.
 */
export function acceptFrame(frame: NotificationFrame): boolean {
  if (frame.seq <= (lastAccepted ?? 0)) return false;
  lastAccepted = frame.seq;
  // The socket may belong to another tab. Notifications that it delivered before this tab started are read over REST.
  const isGap = frame.seq > head.value + 1;
  addNotifications([toNotification(frame)]);
  head.value = Math.max(head.value, frame.seq);
  if (isGap) void loadNotifications().catch(() => undefined);
  return true;
}

/** Move the read mark. It never moves back. */
export function readUpTo(seq: number): void {
  readSeq.value = Math.max(readSeq.value, seq);
}

function toNotification({ seq, id, kind, data, at }: NotificationFrame): Notification {
  return { seq, id, kind, data, created_at: at };
}

export function toFrame({ seq, id, kind, data, created_at }: Notification): NotificationFrame {
  return { t: "n", seq, id, kind, data, at: created_at };
}

function addNotifications(added: readonly Notification[]): void {
  const bySeq = new Map([...notifications.value, ...added].map((one) => [one.seq, one]));
  notifications.value = [...bySeq.values()].sort((left, right) => right.seq - left.seq).slice(0, MAX_LISTED);
}
