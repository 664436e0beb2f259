/** The notifications of the user, newest first. */

import { PageHeading } from "../components/heading";
import { useCommand, useLoad } from "../components/load";
import { Problem } from "../components/problem";
import { SignInRequired } from "../components/sign-in-required";
import { formatTime } from "../lib/format";
import { markRead } from "../state/connection";
import { describeNotification, linkOf } from "../state/notification-text";
import { head, loadNotifications, notifications, readSeq, unread } from "../state/notifications";
import type { Notification } from "../api/types";

export function NotificationsPage() {
  return (
    <>
      <PageHeading title="Notifications" />
      <SignInRequired next="/notifications">
        <NotificationList />
      </SignInRequired>
    </>
  );
}

function NotificationList() {
  const { isBusy, error, reload } = useLoad("load notifications", "", (action) => loadNotifications(action));
  const marking = useCommand("mark notifications as read", () => markRead(head.value));
  return (
    <>
      <Problem error={error} onRetry={reload} />
      <Problem error={marking.error} onRetry={marking.start} />
      <div class="row">
        <p aria-live="polite">{unread.value === 0 ? "Nothing unread." : `${unread.value} unread.`}</p>
        <button type="button" class="secondary" onClick={marking.start} disabled={unread.value === 0}>
          Mark all as read
        </button>
      </div>
      {isBusy && notifications.value.length === 0 && <p>Loading…</p>}
      <ul class="list">
        {notifications.value.map((notification) => (
          <NotificationRow key={notification.seq} notification={notification} />
        ))}
      </ul>
    </>
  );
}

export function NotificationRow({ notification }: { readonly notification: Notification }) {
  const link = linkOf(notification);
  const text = describeNotification(notification);
  const isUnread = notification.seq > readSeq.value;
  return (
    <li class="list-row" data-unread={isUnread} data-seq={notification.seq}>
      <div>
        {link === undefined ? text : <a href={link}>{text}</a>}
        <p class="quiet">
          {formatTime(notification.created_at)}
          {isUnread && " · unread"}
        </p>
      </div>
    </li>
  );
}
