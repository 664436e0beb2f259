/** Calls a function again and again while the page is visible. */

import { useEffect } from "preact/hooks";

/** Call `poll` now and then every `milliseconds`, one call at a time, while the page is visible. */
export function usePolling(milliseconds: number, poll: () => Promise<void>, dependencies: readonly unknown[]): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isStopped = false;
    const run = async (): Promise<void> => {
      if (document.visibilityState === "visible") await poll().catch(() => undefined);
      if (!isStopped) timer = setTimeout(() => void run(), milliseconds);
    };
    void run();
    return () => {
      isStopped = true;
      clearTimeout(timer);
    };
    // The caller names what `poll` depends on.
  }, [milliseconds, ...dependencies]);
}
