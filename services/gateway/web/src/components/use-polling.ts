/** Calls a function again and again while the page is visible. */

import { useEffect } from "preact/hooks";

/**
 * Call `poll` every `milliseconds` while the page is visible, one call at a time. Without `milliseconds` it is not called.
 *
 * The first call is immediate, unless `first` is "later".
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
    // The caller names what `poll` depends on.
  }, [milliseconds, ...dependencies]);
}
