/** Shows that a request waits because the server is busy, and for how long. */

import { useEffect, useState } from "preact/hooks";

import { api } from "../api";
import type { Wait } from "../api/client";
import { useSecondsUntil } from "./problem";

export function WaitBanner() {
  const [wait, setWait] = useState<Wait | undefined>(undefined);
  useEffect(() => api.waiting.on(setWait), []);
  // The region exists before its text does. Otherwise screen readers would not speak it.
  return (
    <div class="wait-banner" role="status" data-active={wait !== undefined}>
      {wait !== undefined && <Countdown wait={wait} />}
    </div>
  );
}

function Countdown({ wait }: { readonly wait: Wait }) {
  const seconds = useSecondsUntil(wait.until);
  const reason = wait.status === 429 ? "These were too many requests." : "The shop is busy.";
  return (
    <p>
      {reason} The request is repeated automatically. <span aria-hidden="true">Next attempt in {seconds} s.</span>
    </p>
  );
}
