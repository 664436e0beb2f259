/** Shows that a request waits because the server is busy, and how long it waits. */

import { useEffect, useState } from "preact/hooks";

import { api } from "../api";
import type { Wait } from "../api/client";
import { useSecondsUntil } from "./problem";

export function WaitBanner() {
  const [wait, setWait] = useState<Wait | undefined>(undefined);
  useEffect(() => api.waiting.on(setWait), []);
  // The region exists before it has a text. Otherwise screen readers would not speak the text.
  return (
    <div class="wait-banner" role="status" data-active={wait !== undefined}>
      {wait !== undefined && <Countdown wait={wait} />}
    </div>
  );
}

function Countdown({ wait }: { readonly wait: Wait }) {
  const seconds = useSecondsUntil(wait.until);
  const reason = wait.status === 429 ? "Too many requests were sent." : "The shop is busy.";
  return (
    <p>
      {reason} The request is repeated automatically. <span aria-hidden="true">Next attempt in {seconds} s.</span>
    </p>
  );
}
