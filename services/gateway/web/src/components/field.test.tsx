import { render } from "preact";
import { act } from "preact/test-utils";
import { expect, test } from "vitest";

import { Field } from "./field";

test("a changed value is kept when the field is rendered again", async () => {
  const root = document.createElement("div");
  const renderField = (): Promise<void> =>
    act(() => {
      render(<Field label="From" name="from" type="date" defaultValue="2026-10-01" />, root);
    });
  await renderField();
  const field = root.querySelector("input");
  expect(field?.value).toBe("2026-10-01");
  if (field !== null) field.value = "2026-11-15";
  await renderField();
  expect(field?.value).toBe("2026-11-15");
});
