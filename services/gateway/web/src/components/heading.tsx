/** The heading of a page. It gets the focus when the page changes, so that keyboards and screen readers begin there. */

import { useEffect, useRef } from "preact/hooks";

let isFirstPage = true;

export function PageHeading({ title, busy = false }: { readonly title: string; readonly busy?: boolean }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Hopline`;
  }, [title]);
  useEffect(() => {
    // At first the browser sets the focus. If the focus moved to the heading, the Tab key would skip the navigation.
    if (!isFirstPage) heading.current?.focus({ preventScroll: true });
    isFirstPage = false;
    scrollTo(0, 0);
  }, []);
  return (
    <h1 ref={heading} tabIndex={-1} aria-busy={busy}>
      {title}
    </h1>
  );
}
