/** Loads what a page shows, as one user action. */

import { useCallback, useEffect, useState } from "preact/hooks";

import { startAction, type Action } from "../telemetry";

export interface Loading {
  readonly isBusy: boolean;
  readonly error: unknown;
  readonly reload: () => void;
}

/**
 * Call `load` when the component is shown, when `key` changes, and by `reload`.
 *
 * Each call aborts the previous one, and removing the component aborts the last one.
 */
export function useLoad(name: string, key: string, load: (action: Action, signal: AbortSignal) => Promise<void>): Loading {
  const [isBusy, setBusy] = useState(true);
  const [error, setError] = useState<unknown>(undefined);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const aborting = new AbortController();
    const action = startAction(name);
    setBusy(true);
    setError(undefined);
    load(action, aborting.signal).then(
      () => {
        action.end("ok");
        if (!aborting.signal.aborted) setBusy(false);
      },
      (reason: unknown) => {
        action.end("error");
        if (aborting.signal.aborted) return;
        setBusy(false);
        setError(reason);
      },
    );
    return () => {
      aborting.abort();
    };
  }, [name, key, round]);
  const reload = useCallback(() => {
    setRound((current) => current + 1);
  }, []);
  return { isBusy, error, reload };
}

/** Return a function that calls `run` as one user action. It does nothing while an earlier call is running. */
export function useCommand(name: string, run: (action: Action) => Promise<void>): {
  readonly isBusy: boolean;
  readonly error: unknown;
  readonly start: () => void;
} {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  const start = (): void => {
    if (isBusy) return;
    const action = startAction(name);
    setBusy(true);
    setError(undefined);
    run(action)
      .then(
        () => {
          action.end("ok");
        },
        (reason: unknown) => {
          action.end("error");
          setError(reason);
        },
      )
      .finally(() => {
        setBusy(false);
      });
  };
  return { isBusy, error, start };
}
