// Reading again and again while somebody looks.

const EVERY_MS = 2000;

/**
 * Call `refresh` every two seconds while `box` is ticked and the page is seen. One that takes longer is waited for;
 * one that fails is tried again, for the stack may just be starting.
 */
export function live(box, refresh) {
  let timer = null;
  const again = async () => {
    clearTimeout(timer);
    if (!box.checked || document.hidden) return;
    await refresh().catch(() => {});
    timer = setTimeout(again, EVERY_MS);
  };
  box.addEventListener("change", again);
  document.addEventListener("visibilitychange", again);
  again();
}
