// Refreshes a page while it is visible.

const EVERY_MS = 2000;

/**
 * Call `refresh` every `everyMs` milliseconds while `box` is checked and the page is visible, one call at a time. A failed
 * call does not stop the repetition, because the stack may be starting.
 */
export function refreshWhileChecked(box, refresh, everyMs = EVERY_MS) {
  let timer = null;
  let isRunning = false;
  const again = async () => {
    clearTimeout(timer);
    if (isRunning || !box.checked || document.hidden) return;
    isRunning = true;
    await refresh().catch(() => {});
    isRunning = false;
    timer = setTimeout(again, everyMs);
  };
  box.addEventListener("change", again);
  document.addEventListener("visibilitychange", again);
  again();
}
