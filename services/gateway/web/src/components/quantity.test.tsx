import { render } from "preact";
import { useState } from "preact/hooks";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test } from "vitest";

import { MAX_QUANTITY } from "../state/cart";
import { useQuantityField } from "./quantity";

let root: HTMLElement;
let quantities: number[];
let renderAgain: () => void;

function Page() {
  const [quantity, setQuantity] = useState(1);
  const [, setVersion] = useState(0);
  renderAgain = () => {
    setVersion((version) => version + 1);
  };
  const attributes = useQuantityField(quantity, (changed) => {
    quantities.push(changed);
    setQuantity(changed);
  });
  return <input {...attributes} />;
}

beforeEach(async () => {
  root = document.createElement("div");
  document.body.append(root);
  quantities = [];
  await act(() => {
    render(<Page />, root);
  });
});

afterEach(() => {
  render(null, root);
  root.remove();
});

function field(): HTMLInputElement {
  const found = root.querySelector("input");
  if (found === null) throw new Error("the page has no field");
  return found;
}

async function type(text: string): Promise<void> {
  await act(() => {
    field().value = text;
    field().dispatchEvent(new Event("input", { bubbles: true }));
  });
}

test("a typed number is applied before the field loses focus", async () => {
  await type("7");
  expect(quantities).toEqual([7]);
});

test.each(["", "0", "-3"])("the text %j is not applied, and stays when the page is rendered again", async (text) => {
  await type(text);
  await act(() => {
    renderAgain();
  });
  expect(field().value).toBe(text);
  expect(quantities).toEqual([]);
});

test("a field that loses focus shows the applied quantity", async () => {
  await type(String(MAX_QUANTITY + 1));
  await type("");
  await act(() => {
    field().dispatchEvent(new FocusEvent("blur"));
  });
  expect(quantities).toEqual([MAX_QUANTITY]);
  expect(field().value).toBe(String(MAX_QUANTITY));
});
