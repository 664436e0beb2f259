/** Calls a function repeatedly while the page is visible. */

import { useEffect } from "preact/hooks";

/**
 * Call `poll` while the page is visible, each time `milliseconds` after the previous call has ended.
 *
 * If `milliseconds` is undefined, `poll` is not called. The first call is immediate, unless `first` is "later". The polling
 * starts again if one of the `dependencies` changes.
 */
export function usePolling(
  milliseconds: number | undefined,
  poll: () => Promise<void>,
  dependencies: readonly unknown[],
  first: "now" | "later" = "now",
): void {
  useEffect(() => {
    if (milliseconds === undefined) return undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isStopped = false;
    const wait = (): void => {
      if (!isStopped) timer = setTimeout(() => void run(), milliseconds);
    };
    const run = async (): Promise<void> => {
      if (document.visibilityState === "visible") await poll().catch(() => undefined);
      wait();
    };
    if (first === "now") void run();
    else wait();
    return () => {
      isStopped = true;
      clearTimeout(timer);
    };
    // `poll` is a new function at each rendering. The caller lists the values that it depends on.
  }, [milliseconds, ...dependencies]);
}
