/** An error of a request, with what the user can do about it. */

import { useEffect, useState } from "preact/hooks";

import { ProblemError, UnreachableError } from "../api/problem";
import { TraceLink } from "./trace-link";

interface ProblemProps {
  readonly error: unknown;
  /** Called by a button "Try again", which is disabled until the time that the server demands has passed. */
  readonly onRetry?: (() => void) | undefined;
  /** Field errors that the form shows beside its fields. */
  readonly shownFields?: readonly string[];
}

export function Problem({ error, onRetry, shownFields = [] }: ProblemProps) {
  if (error === undefined) return null;
  const problem = error instanceof ProblemError ? error : undefined;
  const others = problem?.errors.filter(({ field }) => !shownFields.includes(field)) ?? [];
  const retryAfterMs = problem?.retryAfterMs ?? 0;
  // The countdown is outside of the alert. Otherwise screen readers would speak it every second.
  return (
    <div class="problem">
      <div role="alert">
        <p>
          <strong>{titleOf(error)}</strong> {detailOf(error)}
        </p>
        {others.length > 0 && (
          <ul>
            {others.map(({ field, message }) => (
              <li key={field}>
                {field}: {message}
              </li>
            ))}
          </ul>
        )}
      </div>
      {problem?.traceId !== undefined && (
        <p class="quiet">
          Trace <TraceLink traceId={problem.traceId} />
        </p>
      )}
      {onRetry !== undefined && <RetryButton afterMs={retryAfterMs} onRetry={onRetry} />}
      {onRetry === undefined && retryAfterMs > 0 && <RetryTime key={problem?.traceId} afterMs={retryAfterMs} />}
    </div>
  );
}

function RetryTime({ afterMs }: { readonly afterMs: number }) {
  const [until] = useState(() => Date.now() + afterMs);
  const seconds = useSecondsUntil(until);
  return <p aria-hidden="true">{seconds > 0 ? `Try again in ${seconds} s.` : "Try again now."}</p>;
}

function RetryButton({ afterMs, onRetry }: { readonly afterMs: number; readonly onRetry: () => void }) {
  const [until] = useState(() => Date.now() + afterMs);
  const seconds = useSecondsUntil(until);
  return (
    <button type="button" onClick={onRetry} disabled={seconds > 0}>
      {seconds > 0 ? `Try again in ${seconds} s` : "Try again"}
    </button>
  );
}

/** Return the seconds until a time on the clock of `Date.now()`, rounded up, and render again when they change. */
export function useSecondsUntil(until: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => {
      setNow(Date.now());
      if (Date.now() >= until) clearInterval(timer);
    }, 250);
    return () => {
      clearInterval(timer);
    };
  }, [until]);
  return Math.max(0, Math.ceil((until - now) / 1000));
}

function titleOf(error: unknown): string {
  if (error instanceof ProblemError) return error.title;
  if (error instanceof UnreachableError) return error.message;
  return "Something went wrong in this page.";
}

function detailOf(error: unknown): string {
  if (error instanceof ProblemError) return error.detail === error.title ? "" : error.detail;
  if (error instanceof UnreachableError) return "Check your connection.";
  return error instanceof Error ? error.message : "";
}
