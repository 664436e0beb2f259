/**
 * The session: an access token in memory, renewed by a cookie that scripts cannot read.
 *
 * A refresh token that is used twice ends the session. So the tabs refresh one at a time (Web Locks) and share each new
 * access token (BroadcastChannel). Signing in and out wait for a refresh too. Otherwise its late response would end the new
 * session, or continue the ended one. A page that is reloaded during a refresh leaves its request behind, whose response
 * brings the next refresh token. So the request outlives its page, and all others wait for it as well.
 */

import { Emitter } from "../lib/emitter";
import type { TokenSource } from "./client";
import { parseProblem, UnreachableError } from "./problem";

const LOCK = "hopline-session";
const HINT = "hopline.signed-in";
/** When the last refresh began that has no response yet. */
const STARTED = "hopline.refresh-started";
const INTERRUPTED_MS = 2_000;
const EXPIRY_MARGIN_MS = 10_000;
const TIMEOUT_MS = 10_000;
const CSRF = { "X-Hopline-CSRF": "1" };

interface AccessToken {
  readonly value: string;
  /** Milliseconds on the clock of `Date.now()`. */
  readonly expiresAt: number;
}

type Message = { readonly type: "token"; readonly token: AccessToken } | { readonly type: "ended" };

export interface SessionDependencies {
  readonly fetch: typeof fetch;
  readonly locks: Pick<LockManager, "request">;
  readonly channel: BroadcastChannel;
  readonly storage: Pick<Storage, "getItem" | "setItem" | "removeItem">;
}

export class BrowserSession implements TokenSource {
  /** The id of the user whose session begins, continues with another token, or undefined when it ends. */
  readonly changed = new Emitter<string | undefined>();

  readonly #dependencies: SessionDependencies;
  #token: AccessToken | undefined;
  #refreshing: Promise<string | undefined> | undefined;

  constructor(dependencies: SessionDependencies) {
    this.#dependencies = dependencies;
    dependencies.channel.addEventListener("message", (event: MessageEvent<Message>) => {
      this.#accept(event.data.type === "token" ? event.data.token : undefined);
    });
  }

  /** Whether this browser signed in before. The cookie may have expired since; only a refresh can show that. */
  get mayContinue(): boolean {
    return this.#dependencies.storage.getItem(HINT) !== null;
  }

  async token(): Promise<string | undefined> {
    if (isValid(this.#token)) return this.#token.value;
    return this.mayContinue ? this.#refresh(undefined) : undefined;
  }

  async replace(rejected: string): Promise<string | undefined> {
    return this.#refresh(rejected);
  }

  /**
   * Sign in.
   *
   * @throws ProblemError The email address or the password is wrong, or the server cannot check them now.
   * @throws UnreachableError There was no response.
   */
  async signIn(email: string, password: string): Promise<void> {
    await this.#dependencies.locks.request(LOCK, async () => {
      await this.#waitForInterrupted();
      const response = await this.#fetch("POST", "", { email, password });
      if (!response.ok) throw await parseProblem(response, Date.now());
      this.#dependencies.storage.setItem(HINT, "1");
      this.#share(await readToken(response));
    });
  }

  /** End the session in all tabs. The tabs end it also if the server cannot be reached. */
  async signOut(): Promise<void> {
    await this.#dependencies.locks.request(LOCK, async () => {
      await this.#waitForInterrupted();
      try {
        await this.#fetch("DELETE", "");
      } finally {
        this.#end();
      }
    });
  }

  #refresh(rejected: string | undefined): Promise<string | undefined> {
    this.#refreshing ??= this.#dependencies.locks
      .request(LOCK, () => this.#refreshAlone(rejected))
      .finally(() => {
        this.#refreshing = undefined;
      });
    return this.#refreshing;
  }

  async #refreshAlone(rejected: string | undefined): Promise<string | undefined> {
    // Another tab may have refreshed, or signed out, while this one waited for the lock.
    if (isValid(this.#token) && this.#token.value !== rejected) return this.#token.value;
    if (!this.mayContinue) return undefined;
    await this.#waitForInterrupted();
    const { storage } = this.#dependencies;
    storage.setItem(STARTED, String(Date.now()));
    const response = await this.#fetch("POST", "/refresh");
    storage.removeItem(STARTED);
    if (response.status === 401) {
      this.#end();
      return undefined;
    }
    if (!response.ok) throw await parseProblem(response, Date.now());
    const token = await readToken(response);
    this.#share(token);
    return token.value;
  }

  /** Wait for the refresh of a page that ended meanwhile. Its lock ended with the page, its request did not. */
  async #waitForInterrupted(): Promise<void> {
    const started = Number(this.#dependencies.storage.getItem(STARTED) ?? 0);
    const rest = started + INTERRUPTED_MS - Date.now();
    if (rest <= 0 || rest > INTERRUPTED_MS) return;
    await new Promise((resolve) => setTimeout(resolve, rest));
  }

  async #fetch(method: string, path: string, body?: unknown): Promise<Response> {
    try {
      return await this.#dependencies.fetch(`/browser/session${path}`, {
        method,
        headers: body === undefined ? CSRF : { ...CSRF, "Content-Type": "application/json" },
        body: body === undefined ? null : JSON.stringify(body),
        credentials: "same-origin",
        cache: "no-store",
        keepalive: true,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      throw UnreachableError.from(error);
    }
  }

  #share(token: AccessToken): void {
    this.#dependencies.channel.postMessage({ type: "token", token } satisfies Message);
    this.#accept(token);
  }

  #end(): void {
    this.#dependencies.storage.removeItem(HINT);
    this.#dependencies.channel.postMessage({ type: "ended" } satisfies Message);
    this.#accept(undefined);
  }

  #accept(token: AccessToken | undefined): void {
    this.#token = token;
    this.changed.emit(token === undefined ? undefined : subjectOf(token.value));
  }
}

function isValid(token: AccessToken | undefined): token is AccessToken {
  return token !== undefined && token.expiresAt - EXPIRY_MARGIN_MS > Date.now();
}

async function readToken(response: Response): Promise<AccessToken> {
  try {
    const body = (await response.json()) as { access_token: string; expires_in: number };
    return { value: body.access_token, expiresAt: Date.now() + body.expires_in * 1000 };
  } catch (error) {
    throw UnreachableError.from(error);
  }
}

/** Return the user id in the token. The servers verify tokens; the page only needs the id of the user whose data it shows. */
function subjectOf(token: string): string {
  const [, payload = ""] = token.split(".");
  const claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/"))) as { sub: string };
  return claims.sub;
}
