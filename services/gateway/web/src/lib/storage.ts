/** localStorage. Without it (blocked, quota exceeded) values last as long as the page. */

/** Values that localStorage did not accept. */
const inMemory = new Map<string, string>();

export const storage = {
  getItem(key: string): string | null {
    try {
      return inMemory.get(key) ?? localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  setItem(key: string, value: string): void {
    inMemory.set(key, value);
    try {
      localStorage.setItem(key, value);
      inMemory.delete(key);
    } catch {
      // The value stays in memory.
    }
  },
  removeItem(key: string): void {
    inMemory.delete(key);
    try {
      localStorage.removeItem(key);
    } catch {
      // Storage that is blocked has no values.
    }
  },
};

/** Return a value that is stored as JSON. A value that cannot be read counts as absent. */
export function readStored<Value>(key: string, isValid: (value: unknown) => value is Value): Value | undefined {
  try {
    const value: unknown = JSON.parse(storage.getItem(key) ?? "null");
    return isValid(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Store a value as JSON, or remove it if it is undefined. */
export function writeStored(key: string, value: unknown): void {
  if (value === undefined) storage.removeItem(key);
  else storage.setItem(key, JSON.stringify(value));
}
