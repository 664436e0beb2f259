/** A field for the quantity of a product. */

import type { TargetedInputEvent } from "preact";
import { useState } from "preact/hooks";

import { MAX_QUANTITY } from "../state/cart";

/**
 * Return the attributes of a number field for a quantity.
 *
 * Each valid number applies while it is typed. Until the field loses focus its text is the user's: when the page is
 * rendered again, for example because a product has loaded, the text stays.
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
