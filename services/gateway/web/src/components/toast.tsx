/** Shows the last announcement for some seconds. */

import { useEffect, useState } from "preact/hooks";

import { announcement } from "../state/announcements";

const SHOWN_MS = 6_000;

export function Toast() {
  const message = announcement.value;
  const [isShown, setShown] = useState(false);
  useEffect(() => {
    if (message === "") return undefined;
    setShown(true);
    const timer = setTimeout(() => {
      setShown(false);
    }, SHOWN_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [message]);
  return (
    <div class="toast" role="status" data-shown={isShown}>
      {isShown && <p>{message}</p>}
    </div>
  );
}
