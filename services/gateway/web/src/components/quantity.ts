/** A field for the quantity of a product. */

import type { TargetedInputEvent } from "preact";
import { useState } from "preact/hooks";

import { MAX_QUANTITY } from "../state/cart";

/**
 * Return the attributes of a number field for a quantity.
 *
 * `onQuantity` receives each typed number that is at least 1, rounded down and limited to `MAX_QUANTITY`. The field keeps
 * the typed text until it loses focus, even if the page is rendered again, for example because a product has loaded.
 */
export function useQuantityField(quantity: number, onQuantity: (quantity: number) => void) {
  const [text, setText] = useState<string>();
  return {
    type: "number" as const,
    min: 1,
    max: MAX_QUANTITY,
    value: text ?? quantity,
    onInput: (event: TargetedInputEvent<HTMLInputElement>) => {
      const { value, valueAsNumber } = event.currentTarget;
      setText(value);
      if (valueAsNumber >= 1) onQuantity(Math.min(MAX_QUANTITY, Math.floor(valueAsNumber)));
    },
    onBlur: () => {
      setText(undefined);
    },
  };
}
