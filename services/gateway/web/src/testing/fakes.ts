/** In-memory replacements of browser APIs, for tests. */

/** Web Locks: exclusive, in the order of the requests. */
export class FakeLocks {
  readonly #held = new Map<string, Promise<unknown>>();

  readonly request = (async (name: string, ...rest: readonly unknown[]): Promise<unknown> => {
    const callback = rest.at(-1) as () => unknown;
    const options = rest.length > 1 ? (rest[0] as LockOptions) : {};
    const before = this.#held.get(name) ?? Promise.resolve();
    const result = before.then(() => {
      if (options.signal?.aborted === true) throw new DOMException("The request was aborted.", "AbortError");
      return callback();
    });
    this.#held.set(
      name,
      result.catch(() => undefined),
    );
    return result;
  }) as LockManager["request"];
}

/** Channels of one browser: a message arrives at all other channels of the same name. */
export class FakeBroadcast {
  readonly #channels = new Map<string, Set<FakeChannel>>();

  open(name: string): BroadcastChannel {
    const channel = new FakeChannel((message) => {
      for (const other of this.#channels.get(name) ?? []) {
        if (other !== channel) other.dispatchEvent(new MessageEvent("message", { data: structuredClone(message) }));
      }
    });
    const all = this.#channels.get(name) ?? new Set();
    this.#channels.set(name, all.add(channel));
    channel.addEventListener("closed", () => {
      all.delete(channel);
    });
    return channel as unknown as BroadcastChannel;
  }
}

class FakeChannel extends EventTarget {
  constructor(readonly postMessage: (message: unknown) => void) {
    super();
  }

  close(): void {
    this.dispatchEvent(new Event("closed"));
  }
}

/** Responses to requests, in order. The last one is repeated. */
export class FakeFetch {
  readonly requests: Request[] = [];
  readonly #responses: (() => Response | Promise<Response>)[] = [];

  respond(...responses: (() => Response | Promise<Response>)[]): this {
    this.#responses.push(...responses);
    return this;
  }

  readonly fetch = (async (input: string, init?: RequestInit): Promise<Response> => {
    const signal = init?.signal;
    this.requests.push(new Request(new URL(input, "http://shop.test"), { ...init, signal: null }));
    const respond = this.#responses.length > 1 ? this.#responses.shift() : this.#responses[0];
    if (respond === undefined) throw new TypeError("no response was given to the fake");
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener("abort", () => {
        reject(signal.reason as Error);
      });
    });
    return Promise.race([respond(), aborted]);
  }) as typeof fetch;
}

export function json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): () => Response {
  return () => new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });
}

/** An unsigned token of a user. The page reads only its subject. */
export function tokenOf(user: string, mark = ""): string {
  return `header.${btoa(JSON.stringify({ sub: user, mark }))}.signature`;
}
