/** Short messages that screen readers speak and that the page shows for a while. */

import { signal } from "@preact/signals";

export const announcement = signal("");

export function announce(message: string): void {
  // The same text twice is not a change, so it would not be spoken again.
  announcement.value = announcement.value === message ? `${message}\u00a0` : message;
}
