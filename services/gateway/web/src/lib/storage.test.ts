import { afterEach, describe, expect, test, vi } from "vitest";

import { readStored, storage, writeStored } from "./storage";

const isNumber = (value: unknown): value is number => typeof value === "number";

/** Replace localStorage by one that the browser's settings block, so that every access throws. */
function blockStorage(): void {
  const fail = (): never => {
    throw new DOMException("The operation is insecure.", "SecurityError");
  };
  vi.stubGlobal("localStorage", { getItem: fail, setItem: fail, removeItem: fail });
}

afterEach(() => {
  vi.unstubAllGlobals();
  storage.removeItem("key");
});

describe("without localStorage", () => {
  test("values last as long as the page", () => {
    blockStorage();
    expect(storage.getItem("key")).toBeNull();
    storage.setItem("key", "1");
    expect(storage.getItem("key")).toBe("1");
    storage.setItem("key", "2");
    expect(storage.getItem("key")).toBe("2");
    storage.removeItem("key");
    expect(storage.getItem("key")).toBeNull();
  });

  test("JSON values last as long as the page", () => {
    blockStorage();
    writeStored("key", 5);
    expect(readStored("key", isNumber)).toBe(5);
    writeStored("key", undefined);
    expect(readStored("key", isNumber)).toBeUndefined();
  });
});

test("a value that exceeds the quota replaces the stored one", () => {
  storage.setItem("key", "1");
  vi.stubGlobal("localStorage", {
    getItem: () => "1",
    setItem: () => {
      throw new DOMException("The quota was exceeded.", "QuotaExceededError");
    },
  });
  storage.setItem("key", "2");
  expect(storage.getItem("key")).toBe("2");
});

test("a value of another tab replaces the value of this tab", () => {
  storage.setItem("key", "1");
  localStorage.setItem("key", "2");
  expect(storage.getItem("key")).toBe("2");
});
