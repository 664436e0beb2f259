/** The WebSocket: whether it is open, and how it resumed. */

import { useSecondsUntil } from "../components/problem";
import type { ConnectionState } from "../realtime/frames";
import { connection } from "../state/connection";
import { isSignedIn } from "../state/session";
import { connectionText, resumedText } from "./connection-text";

export function ConnectionPanel() {
  const state = connection.value;
  return (
    <section class="panel" aria-labelledby="websocket-title">
      <h2 id="websocket-title">WebSocket</h2>
      {isSignedIn.value ? (
        <div role="status">
          <p class="websocket-state" data-phase={state.phase}>
            {connectionText(state)}
          </p>
          <Retry state={state} />
          <p data-resumed>{resumedText(state)}</p>
        </div>
      ) : (
        <p>
          <a href="#/login?next=/break">Sign in</a> to connect.
        </p>
      )}
    </section>
  );
}

function Retry({ state }: { readonly state: ConnectionState }) {
  const seconds = useSecondsUntil(state.retryAt ?? 0);
  return seconds > 0 ? <p aria-hidden="true">Next attempt in {seconds} s.</p> : null;
}
