/** Fault switches: `/v2/faults` (services/gateway/README.md, "Try it"). Only admins may use them. */

import type { ApiClient } from "../api/client";
import { parseProblem, ProblemError, UnreachableError } from "../api/problem";

export const KINDS = ["slow", "errors", "hang", "disconnect"] as const;
export type CallFault = (typeof KINDS)[number];

export interface Fault {
  readonly source: string;
  readonly target: string;
  readonly kind: CallFault | "crash";
  /** Milliseconds for `slow`, else percent of the calls. */
  readonly value: number;
  readonly until: string;
  readonly times: number | null;
  readonly at: string | null;
}

/** A caller and the service that it calls. Each pair has at most one fault. */
export interface Pair {
  readonly source: string;
  readonly target: string;
}

export const PAIRS: readonly Pair[] = [
  { source: "gateway", target: "users" },
  { source: "gateway", target: "orders" },
  { source: "gateway", target: "notifications" },
  { source: "workers", target: "users" },
  { source: "workers", target: "orders" },
];

/** Some of the crash points, at which a process can be killed. Its supervisor starts it again. */
export const CRASHES: readonly { readonly target: string; readonly at: string; readonly text: string }[] = [
  { target: "orders", at: "relay.after_append", text: "Kill orders after its next append to a stream" },
  { target: "notifications", at: "consumer.after_commit", text: "Kill notifications after its next event" },
  { target: "workers", at: "consumer.after_commit", text: "Kill workers after their next event" },
  { target: "workers", at: "email.after_handover", text: "Kill workers after their next email" },
];

export interface FaultRequest extends Pair {
  readonly kind: CallFault | "crash";
  readonly value?: number;
  readonly at?: string;
  readonly for_seconds: number;
}

/** Return what a fault does, for example `errors in 50 % of the calls`. */
export function describeFault({ kind, value, at }: Pick<Fault, "kind" | "value" | "at">): string {
  if (kind === "crash") return `crash at ${at ?? "a crash point"}`;
  if (kind === "slow") return `slow by ${value} ms`;
  return value >= 100 ? kind : `${kind} in ${value} % of the calls`;
}

/** Return the active fault between two services, if there is one. */
export function faultBetween(faults: readonly Fault[], { source, target }: Pair): Fault | undefined {
  return faults.find((fault) => fault.source === source && fault.target === target && fault.kind !== "crash");
}

/**
 * Sign in as an admin and return the access token. The session of the user does not change.
 *
 * @throws ProblemError The email address or the password is wrong, or the server cannot check them now.
 * @throws UnreachableError There was no response.
 */
export async function signInAdmin(email: string, password: string, send: typeof fetch = fetch): Promise<string> {
  const body = new URLSearchParams({ grant_type: "password", username: email, password });
  const options: RequestInit = { method: "POST", body, credentials: "omit", signal: AbortSignal.timeout(10_000) };
  try {
    const response = await send("/v2/tokens", options);
    if (!response.ok) throw await parseProblem(response, Date.now());
    return ((await response.json()) as { access_token: string }).access_token;
  } catch (error) {
    throw error instanceof ProblemError ? error : UnreachableError.from(error);
  }
}

/** The switches, with the token of an admin. All methods throw the errors of `ApiClient.json`. */
export class FaultSwitches {
  readonly #api: ApiClient;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(api: ApiClient, token: string) {
    this.#api = api;
    this.#headers = { Authorization: `Bearer ${token}` };
  }

  async list(): Promise<readonly Fault[]> {
    return (await this.#send<{ items: readonly Fault[] }>("GET", "")).items;
  }

  async switchOn(fault: FaultRequest): Promise<void> {
    // A crash has no source. The gateway uses the target as the source.
    const { source, ...crash } = fault;
    await this.#send("POST", "", fault.kind === "crash" ? crash : { source, ...crash });
  }

  async switchOff({ source, target }: Pair): Promise<void> {
    await this.#send("DELETE", `?${new URLSearchParams({ source, target }).toString()}`);
  }

  async #send<Body>(method: "GET" | "POST" | "DELETE", query: string, body?: unknown): Promise<Body> {
    const options = { method, body, headers: this.#headers, background: true, authenticated: false };
    return (await this.#api.json<Body>(`/v2/faults${query}`, options)).body;
  }
}
