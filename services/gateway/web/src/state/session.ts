/** The user who is signed in. */

import { computed, signal } from "@preact/signals";

import { api, session } from "../api";
import { ProblemError } from "../api/problem";
import type { User } from "../api/types";

const RETRY_MS = 3_000;

/** The id of the signed-in user; null if no user is signed in; undefined until it is known whether a session continues. */
export const userId = signal<string | null | undefined>(session.mayContinue ? undefined : null);

/** The user's account, once it is loaded. */
export const user = signal<User | undefined>(undefined);

export const isSignedIn = computed(() => typeof userId.value === "string");

session.changed.on((subject) => {
  if (subject !== userId.value) user.value = undefined;
  userId.value = subject ?? null;
  if (subject !== undefined && user.value === undefined) void loadUser(subject);
});

async function loadUser(subject: string): Promise<void> {
  try {
    const { body } = await api.json<User>("/v2/users/me", { background: true });
    if (userId.value === subject) user.value = body;
  } catch {
    // The name in the header is missing then; each page reports errors of its own requests.
  }
}

/** Continue the session of an earlier visit, if there is one. */
export async function continueSession(): Promise<void> {
  try {
    if ((await session.token()) === undefined) userId.value = null;
  } catch (error) {
    // Until the server can be reached, it is unknown whether the session continues.
    const demanded = error instanceof ProblemError ? (error.retryAfterMs ?? 0) : 0;
    setTimeout(() => void continueSession(), Math.max(RETRY_MS, demanded));
  }
}
