/** What the user gets while faults are active: requests to send, and the log of the effects. */

import { useEffect, useState } from "preact/hooks";

import { api } from "../api";
import type { Dashboard } from "../api/types";
import { useSecondsUntil } from "../components/problem";
import { TraceLink } from "../components/trace-link";
import { isSignedIn } from "../state/session";
import { effectOfDashboard, type EffectLog, type LoggedEffect } from "./effects";

const EVERY_MS = 1_000;
const TRIALS = [
  { name: "dashboard", path: "/v2/dashboard", text: "Dashboard" },
  { name: "orders", path: "/v2/orders?limit=20", text: "Orders" },
  { name: "catalog", path: "/v2/products?limit=20", text: "Catalog" },
] as const;
type Trial = (typeof TRIALS)[number];

export function EffectsPanel({ log }: { readonly log: EffectLog }) {
  const effects = log.effects.value;
  return (
    <section class="panel" aria-labelledby="effects-title">
      <h2 id="effects-title">What the user gets</h2>
      {isSignedIn.value ? (
        <Trials log={log} />
      ) : (
        <p>
          <a href="#/login?next=/break">Sign in</a> to send requests from here.
        </p>
      )}
      {effects.length === 0 ? (
        <p class="quiet">Responses that are late, retried, incomplete or rejected are listed here.</p>
      ) : (
        <>
          <ol class="list effects" aria-live="polite" aria-relevant="additions">
            {effects.map((effect) => (
              <EffectItem key={effect.id} effect={effect} />
            ))}
          </ol>
          <button
            type="button"
            class="secondary"
            onClick={() => {
              log.clear();
            }}
          >
            Clear
          </button>
        </>
      )}
    </section>
  );
}

function Trials({ log }: { readonly log: EffectLog }) {
  const [trial, setTrial] = useState<Trial>(TRIALS[0]);
  const [isRepeating, setRepeating] = useState(false);
  useEffect(() => {
    if (!isRepeating) return undefined;
    const timer = setInterval(() => void send(trial, log), EVERY_MS);
    return () => {
      clearInterval(timer);
    };
  }, [isRepeating, trial]);
  return (
    <div class="row">
      <label class="field">
        Request
        <select
          value={trial.name}
          onChange={(event) => {
            setTrial(TRIALS.find(({ name }) => name === event.currentTarget.value) ?? TRIALS[0]);
          }}
        >
          {TRIALS.map(({ name, text }) => (
            <option key={name} value={name}>
              {text}
            </option>
          ))}
        </select>
      </label>
      <button type="button" onClick={() => void send(trial, log)}>
        Send it
      </button>
      <button
        type="button"
        class="secondary"
        aria-pressed={isRepeating}
        onClick={() => {
          setRepeating(!isRepeating);
        }}
      >
        {isRepeating ? "Stop sending" : "Send it every second"}
      </button>
    </div>
  );
}

/** Send one request. Its effect is logged when it ends, except an incomplete dashboard, which only the body shows. */
async function send({ name, path }: Trial, log: EffectLog): Promise<void> {
  try {
    const { body } = await api.json<Dashboard>(path, { background: true });
    if (name === "dashboard") log.add(effectOfDashboard(body));
  } catch {
    // The error is in the log already.
  }
}

function EffectItem({ effect }: { readonly effect: LoggedEffect }) {
  const { at, count, severity, text, retryAt, traceId } = effect;
  return (
    <li class="effect" data-severity={severity}>
      <time dateTime={new Date(at).toISOString()}>{new Date(at).toLocaleTimeString()}</time>
      <span>
        {text}
        {count > 1 && ` (${count} times)`}
        {retryAt !== undefined && <RetryTime retryAt={retryAt} />}
      </span>
      {traceId !== undefined && <TraceLink traceId={traceId} />}
    </li>
  );
}

function RetryTime({ retryAt }: { readonly retryAt: number }) {
  const seconds = useSecondsUntil(retryAt);
  return <span aria-hidden="true">{seconds > 0 ? ` (try again in ${seconds} s)` : " (may be tried again now)"}</span>;
}
