/** Hooks that run asynchronous work as one user action: loading what a page shows, and commands. */

import { useCallback, useEffect, useState } from "preact/hooks";

import { startAction, type Action } from "../telemetry";

export interface Loading {
  readonly isBusy: boolean;
  readonly error: unknown;
  readonly reload: () => void;
}

/**
 * Call `load` when the component is shown, when `key` changes, and when `reload` is called.
 *
 * Each call aborts the previous one, and removing the component aborts the last one.
 */
export function useLoad(name: string, key: string, load: (action: Action, signal: AbortSignal) => Promise<void>): Loading {
  const [isBusy, setBusy] = useState(true);
  const [error, setError] = useState<unknown>(undefined);
  const [reloads, setReloads] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    const action = startAction(name);
    setBusy(true);
    setError(undefined);
    load(action, controller.signal).then(
      () => {
        action.end("ok");
        if (!controller.signal.aborted) setBusy(false);
      },
      (reason: unknown) => {
        action.end("error");
        if (controller.signal.aborted) return;
        setBusy(false);
        setError(reason);
      },
    );
    return () => {
      controller.abort();
    };
  }, [name, key, reloads]);
  const reload = useCallback(() => {
    setReloads((current) => current + 1);
  }, []);
  return { isBusy, error, reload };
}

/** Return a function `start` that calls `run` as one user action. It does nothing while an earlier call is running. */
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
