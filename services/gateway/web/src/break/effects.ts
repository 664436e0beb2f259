/** What faults do to the user: a log of responses that were late, retried, incomplete or rejected. */

import { signal, type ReadonlySignal } from "@preact/signals";

import type { ApiCall } from "../api/client";
import type { ServerTiming } from "../api/server-timing";
import type { Dashboard } from "../api/types";

export interface Effect {
  readonly severity: "good" | "warning" | "bad";
  readonly text: string;
  /** When the request may be sent again, in milliseconds on the clock of `Date.now()`. */
  readonly retryAt?: number | undefined;
  readonly traceId?: string | undefined;
}

export interface LoggedEffect extends Effect {
  readonly id: number;
  /** Milliseconds since the epoch, of the last time. */
  readonly at: number;
  /** How often it happened in a row. */
  readonly count: number;
}

const MAX_EFFECTS = 50;
const SLOW_MS = 1_000;
const FIRST_SERVER_ERROR = 500;
const TOO_MANY_REQUESTS = 429;

/** The last effects, the newest one first. */
export class EffectLog {
  readonly #effects = signal<readonly LoggedEffect[]>([]);
  readonly effects: ReadonlySignal<readonly LoggedEffect[]> = this.#effects;
  #lastId = 0;

  /** Add an effect, or increase the count of the last one if the text is the same. */
  add(effect: Effect | undefined): void {
    if (effect === undefined) return;
    const [last] = this.#effects.value;
    if (last?.text === effect.text) {
      const repeated = { ...last, ...effect, at: Date.now(), count: last.count + 1 };
      this.#effects.value = [repeated, ...this.#effects.value.slice(1)];
      return;
    }
    this.#lastId += 1;
    const logged = { ...effect, id: this.#lastId, at: Date.now(), count: 1 };
    this.#effects.value = [logged, ...this.#effects.value].slice(0, MAX_EFFECTS);
  }

  clear(): void {
    this.#effects.value = [];
  }
}

/** Return the effect of faults on a request, or undefined if there is none. `now` is the time of the response. */
export function effectOfCall(call: ApiCall, now: number): Effect | undefined {
  const { method, url, status, isAborted, duration, traceId, retryAfterMs } = call;
  const [path = ""] = url.split("?", 1);
  const request = `${method} ${path}`;
  if (isAborted || path.startsWith("/browser/") || path === "/v2/faults") return undefined;
  const retried = retriedCalls(call.serverTiming);
  const calls = retried.length === 0 ? "" : ` after retries: ${retried.join(", ")}`;
  if (status === 0) return { severity: "bad", text: `${request}: no response`, traceId };
  if (status >= FIRST_SERVER_ERROR || status === TOO_MANY_REQUESTS) {
    const retryAt = retryAfterMs === undefined ? undefined : now + retryAfterMs;
    return { severity: "bad", text: `${request}: ${status}${calls}`, traceId, retryAt };
  }
  if (retried.length > 0) return { severity: "warning", text: `${request}: ${status}${calls}`, traceId };
  if (duration < SLOW_MS) return undefined;
  return { severity: "warning", text: `${request}: ${status} after ${(duration / 1000).toFixed(1)} s`, traceId };
}

/** Return the upstream calls that were retried, for example `orders (2 attempts)`. */
function retriedCalls(timing: readonly ServerTiming[]): string[] {
  return timing.filter(({ description }) => description !== "").map(({ name, description }) => `${name} (${description})`);
}

/** Return the effect of faults on a dashboard: which parts are missing, or that it is complete. */
export function effectOfDashboard({ degraded }: Dashboard): Effect {
  if (degraded.length === 0) return { severity: "good", text: "The dashboard is complete" };
  return { severity: "warning", text: `The dashboard came without ${degraded.join(" and ")}; the rest is shown` };
}
