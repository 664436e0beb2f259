/** The content of a page for users who are signed in. Others get a link to the login instead. */

import type { ComponentChildren } from "preact";

import { isSignedIn, userId } from "../state/session";

interface SignInRequiredProps {
  /** The page to return to, for example `/orders`. */
  readonly next: string;
  readonly children: ComponentChildren;
}

export function SignInRequired({ next, children }: SignInRequiredProps) {
  if (isSignedIn.value) return <>{children}</>;
  if (userId.value === undefined) return <p>Signing in…</p>;
  return (
    <p>
      <a class="button" href={`#/login?next=${encodeURIComponent(next)}`}>
        Sign in
      </a>{" "}
      to see this page.
    </p>
  );
}
