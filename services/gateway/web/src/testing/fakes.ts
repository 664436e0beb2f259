/** In-memory replacements of browser APIs, for tests. */

/** Exclusive Web Locks, granted in the order of the requests. */
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

/** The channels of one browser. A message arrives at all other channels with the same name. */
export class FakeBroadcast {
  readonly #channels = new Map<string, Set<FakeChannel>>();

  open(name: string): BroadcastChannel {
    const channel = new FakeChannel((message) => {
      for (const other of this.#channels.get(name) ?? []) {
        if (other !== channel) other.dispatchEvent(new MessageEvent("message", { data: structuredClone(message) }));
      }
    });
    const sameName = this.#channels.get(name) ?? new Set();
    this.#channels.set(name, sameName.add(channel));
    channel.addEventListener("closed", () => {
      sameName.delete(channel);
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

/** Responds to requests with the responses of `respond`, in their order. The last response is repeated. */
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
    if (respond === undefined) throw new TypeError(`no response to ${input}: call respond() first`);
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener("abort", () => {
        reject(signal.reason as Error);
      });
    });
    return Promise.race([respond(), aborted]);
  }) as typeof fetch;
}

/** Return a function that creates a JSON response. */
export function json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): () => Response {
  return () => new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });
}

/** Return an unsigned token of a user, of which the page reads only the subject. `id` distinguishes tokens of one user. */
export function tokenOf(user: string, id = ""): string {
  return `header.${btoa(JSON.stringify({ sub: user, jti: id }))}.signature`;
}
