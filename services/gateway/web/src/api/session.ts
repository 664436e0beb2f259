/**
 * The session: an access token in memory, renewed by a cookie that scripts cannot read.
 *
 * A refresh token that is used twice ends the session. So the tabs refresh one at a time (Web Locks) and share each new
 * access token (BroadcastChannel). Signing in and out wait until a refresh has ended. Otherwise its late response would
 * end the new session, or continue the ended one. If a page is reloaded during a refresh, the response still sets the
 * cookie with the next refresh token. So the browser completes the request (`keepalive`), and the reloaded page waits for
 * it before it sends another one.
 */

import { Emitter } from "../lib/emitter";
import type { TokenSource } from "./client";
import { parseProblem, UnreachableError } from "./problem";

const LOCK = "hopline-session";
/** The key of the hint that this browser may have a cookie. Scripts cannot read the cookie itself. */
const HINT = "hopline.signed-in";
/** The key of the time at which a refresh began that has no response yet. */
const STARTED = "hopline.refresh-started";
/** How long a page waits for a refresh of a page that was closed or reloaded. */
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
  /** The id of the user when the session begins or gets another token, and undefined when the session ends. */
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

  /** Whether a user signed in with this browser before. Only a refresh shows whether the cookie is still valid. */
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
      await this.#waitForInterruptedRefresh();
      const response = await this.#fetch("POST", "", { email, password });
      if (!response.ok) throw await parseProblem(response, Date.now());
      this.#dependencies.storage.setItem(HINT, "1");
      this.#share(await readToken(response));
    });
  }

  /** End the session in all tabs. It ends in the tabs even if the server cannot be reached. */
  async signOut(): Promise<void> {
    await this.#dependencies.locks.request(LOCK, async () => {
      await this.#waitForInterruptedRefresh();
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
    await this.#waitForInterruptedRefresh();
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

  /** Wait for the refresh of a page that was closed or reloaded. The page's lock has ended, but not its request. */
  async #waitForInterruptedRefresh(): Promise<void> {
    const startedAt = Number(this.#dependencies.storage.getItem(STARTED) ?? 0);
    const remaining = startedAt + INTERRUPTED_MS - Date.now();
    if (remaining <= 0 || remaining > INTERRUPTED_MS) return;
    await new Promise((resolve) => setTimeout(resolve, remaining));
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
