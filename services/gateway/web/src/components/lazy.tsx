/** Components whose code is loaded when they are first shown. */

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

/** Return a component that loads its code by `load`. It shows `placeholder` until the code is loaded, and an alert if that fails. */
export function lazy(load: () => Promise<{ default: ComponentType }>, placeholder: string): ComponentType {
  let loaded: ComponentType | undefined;
  return function Lazy() {
    const [, setReady] = useState(loaded !== undefined);
    const [failed, setFailed] = useState(false);
    useEffect(() => {
      if (loaded !== undefined) {
        setReady(true); // an earlier instance has loaded it since this one was rendered
        return;
      }
      load().then(
        (module) => {
          loaded = module.default;
          setReady(true);
        },
        () => {
          setFailed(true);
        },
      );
    }, []);
    if (failed) return <p role="alert">This part of the page could not be loaded. Reload the page to try again.</p>;
    const Component = loaded;
    return Component === undefined ? <p>{placeholder}</p> : <Component />;
  };
}
