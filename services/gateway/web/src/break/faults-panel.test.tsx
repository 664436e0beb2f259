import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { json } from "../testing/fakes";
import { FaultsPanel } from "./faults-panel";

const LIST = "GET /v2/faults";
const SWITCH_ON = "POST /v2/faults";

/** Time between two reads of the list. */
const POLL_MS = 2_000;

let root: HTMLElement;
let responses: Record<string, () => Response>;

beforeEach(async () => {
  vi.useFakeTimers();
  responses = { "POST /v2/tokens": json(200, { access_token: "token" }), [LIST]: json(200, { items: [] }) };
  vi.stubGlobal("fetch", (path: string, { method = "GET" }: RequestInit) => Promise.resolve(responses[`${method} ${path}`]?.()));
  root = document.createElement("div");
  document.body.append(root);
  await act(() => {
    render(<FaultsPanel />, root);
  });
});

afterEach(async () => {
  // The login is kept after the panel was removed, until its token is rejected.
  responses[LIST] = json(401, {});
  await wait(POLL_MS);
  render(null, root);
  root.remove();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function wait(milliseconds: number): Promise<void> {
  await act(async () => {
    await vi.advanceTimersByTimeAsync(milliseconds);
  });
}

async function signIn(): Promise<void> {
  root.querySelector("form")?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
  await wait(0); // signs in and shows the switches
  await wait(0); // reads the list
}

async function press(name: string): Promise<void> {
  const button = [...root.querySelectorAll("button")].find(({ textContent }) => textContent.includes(name));
  if (button === undefined) throw new Error(`the panel has no button "${name}"`);
  button.click();
  await wait(0);
}

function alertText(): string | undefined {
  return root.querySelector('[role="alert"]')?.textContent.trim();
}

test("the panel shows the login and the reason if the account is not an admin", async () => {
  responses[LIST] = json(403, { title: "Only admins may do this." });
  await signIn();
  expect(root.querySelector("form")).not.toBeNull();
  expect(alertText()).toBe("Only admins may do this.");
});

test("the error of a switch stays until the next one succeeds, although the list can be read", async () => {
  await signIn();
  responses[SWITCH_ON] = json(422, { title: "This fault cannot be set." });
  await press("errors for calls gateway → orders");
  await wait(5 * POLL_MS);
  expect(alertText()).toBe("This fault cannot be set.");
  responses[SWITCH_ON] = json(201, {});
  await press("errors for calls gateway → orders");
  expect(alertText()).toBeUndefined();
});

test("the error of the list disappears when it can be read again", async () => {
  await signIn();
  responses[LIST] = json(503, { title: "The shop is busy." });
  await wait(POLL_MS);
  expect(alertText()).toBe("The shop is busy.");
  responses[LIST] = json(200, { items: [] });
  await wait(POLL_MS);
  expect(alertText()).toBeUndefined();
});
