/** Requests to the gateway: bearer token, one refresh after a 401, Retry-After, a deadline, and problems as exceptions. */

import { Emitter } from "../lib/emitter";
import type { Action, RequestSpan } from "../telemetry";
import { parseTraceparent } from "../telemetry/trace-context";
import { parseProblem, parseRetryAfter, UnreachableError, type ProblemError } from "./problem";
import { parseServerTiming, type ServerTiming } from "./server-timing";

/** One HTTP request that has ended. The hops panel shows it. */
export interface ApiCall {
  readonly id: number;
  readonly method: string;
  readonly url: string;
  /** 0 if there was no response. */
  readonly status: number;
  /** Whether the page aborted the request, for example because the user left it. */
  readonly isAborted: boolean;
  /** Milliseconds on the clock of `performance.now()`. */
  readonly startedAt: number;
  /** Milliseconds. */
  readonly duration: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly serverTiming: readonly ServerTiming[];
  /** Milliseconds until the server allows another request; undefined without Retry-After. */
  readonly retryAfterMs?: number | undefined;
  /** The user action that caused the request; undefined for background requests. */
  readonly action: Action | undefined;
}

/** A request that has been sent. Its `ApiCall` with the same `id` follows. */
export type ApiCallStart = Pick<ApiCall, "id" | "method" | "url" | "startedAt" | "traceId" | "spanId" | "action">;

/** The client waits before it repeats a request, because the server sent Retry-After. */
export interface Wait {
  /** Milliseconds on the clock of `Date.now()`. */
  readonly until: number;
  readonly status: number;
}

export interface RequestOptions {
  readonly method?: "GET" | "POST" | "PATCH" | "DELETE";
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly action?: Action | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Time limit of each attempt; 10 seconds by default. */
  readonly deadlineMs?: number;
  /** A background request shows no countdown and is not repeated. */
  readonly background?: boolean;
  /** False for requests without a bearer token. */
  readonly authenticated?: boolean;
}

export interface ApiResponse<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

export interface TokenSource {
  /** Return a valid access token, or undefined if no user is signed in. */
  token(): Promise<string | undefined>;
  /** Return another token after the server rejected this one, or undefined if the session has ended. */
  replace(rejected: string): Promise<string | undefined>;
}

export interface ClientDependencies {
  readonly fetch: typeof fetch;
  readonly tokens: TokenSource;
  readonly startRequest: (action: Action | undefined, method: string, url: string) => RequestSpan;
}

const DEADLINE_MS = 10_000;
const MAX_WAITS = 3;
const MAX_WAIT_MS = 60_000;
const DEFAULT_WAIT_MS = 1_000;

export class ApiClient {
  /** Requests that have been sent. */
  readonly started = new Emitter<ApiCallStart>();
  /** Requests that have ended. */
  readonly ended = new Emitter<ApiCall>();
  /** The wait that began last, or undefined when all waits are over. */
  readonly waiting = new Emitter<Wait | undefined>();

  readonly #dependencies: ClientDependencies;
  readonly #waits = new Set<Wait>();
  #lastId = 0;

  constructor(dependencies: ClientDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Send a request and return its JSON body.
   *
   * After 429 and 503, and after 409 with Retry-After, the request is repeated up to three times if that is safe: GET,
   * DELETE, or with an Idempotency-Key. It is not repeated if Retry-After is longer than a minute.
   *
   * @throws ProblemError The server responded with an error.
   * @throws UnreachableError There was no response.
   */
  async json<Body>(path: string, options: RequestOptions = {}): Promise<ApiResponse<Body>> {
    const response = await this.#send(path, options);
    const body: unknown = response.status === 204 ? undefined : await readBody(response.json());
    return { status: response.status, headers: response.headers, body: body as Body };
  }

  /** Send a request and return its body as a file. Errors are those of `json`. */
  async blob(path: string, options: RequestOptions = {}): Promise<ApiResponse<Blob>> {
    const response = await this.#send(path, { deadlineMs: 120_000, ...options });
    return { status: response.status, headers: response.headers, body: await readBody(response.blob()) };
  }

  async #send(path: string, options: RequestOptions): Promise<Response> {
    for (let waits = 0; ; waits += 1) {
      const response = await this.#authorized(path, options);
      if (response.ok) return response;
      const problem = await parseProblem(response, Date.now());
      options.signal?.throwIfAborted();
      if (waits >= MAX_WAITS || !isRepeatable(problem, options)) throw problem;
      await this.#wait(problem, options.signal);
    }
  }

  /** Send the request with the current token, and once more with another token after a 401. */
  async #authorized(path: string, options: RequestOptions): Promise<Response> {
    const { tokens } = this.#dependencies;
    const token = options.authenticated === false ? undefined : await tokens.token();
    const response = await this.#attempt(path, options, token);
    if (response.status !== 401 || token === undefined) return response;
    const replacement = await tokens.replace(token);
    return replacement === undefined ? response : this.#attempt(path, options, replacement);
  }

  async #attempt(path: string, options: RequestOptions, token: string | undefined): Promise<Response> {
    const { method = "GET", action } = options;
    const span = this.#dependencies.startRequest(action, method, path);
    this.#lastId += 1;
    const start: ApiCallStart = {
      id: this.#lastId,
      method,
      url: path,
      startedAt: performance.now(),
      traceId: span.traceId,
      spanId: span.spanId,
      action,
    };
    this.started.emit(start);
    const end = (status: number, headers: Headers | undefined): void => {
      span.end(status);
      const duration = performance.now() - start.startedAt;
      const serverTiming = parseServerTiming(headers?.get("Server-Timing") ?? null);
      // The gateway continues the trace of the page, or begins one if the page sent no trace context.
      const traceId = parseTraceparent(headers?.get("traceresponse"))?.traceId ?? span.traceId;
      const retryAfterMs = parseRetryAfter(headers?.get("Retry-After") ?? null, Date.now());
      const isAborted = options.signal?.aborted === true;
      this.ended.emit({ ...start, status, isAborted, duration, serverTiming, retryAfterMs, traceId });
    };
    try {
      const response = await this.#dependencies.fetch(path, requestInit(options, span, token));
      end(response.status, response.headers);
      return response;
    } catch (error) {
      end(0, undefined);
      if (options.signal?.aborted === true) throw error;
      throw UnreachableError.from(error);
    }
  }

  async #wait(problem: ProblemError, signal: AbortSignal | undefined): Promise<void> {
    const duration = problem.retryAfterMs ?? DEFAULT_WAIT_MS;
    const wait = { until: Date.now() + duration, status: problem.status };
    this.#waits.add(wait);
    this.waiting.emit(wait);
    try {
      await sleep(duration, signal);
    } finally {
      this.#waits.delete(wait);
      this.waiting.emit([...this.#waits].at(-1));
    }
  }
}

function requestInit(options: RequestOptions, span: RequestSpan, token: string | undefined): RequestInit {
  const headers = new Headers({ Accept: "application/json", ...options.headers });
  if (span.traceparent !== undefined) headers.set("traceparent", span.traceparent);
  if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
  if (options.body !== undefined) headers.set("Content-Type", "application/json");
  const deadline = AbortSignal.timeout(options.deadlineMs ?? DEADLINE_MS);
  return {
    method: options.method ?? "GET",
    headers,
    body: options.body === undefined ? null : JSON.stringify(options.body),
    signal: options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]),
    credentials: "same-origin",
    cache: "no-store",
  };
}

function isRepeatable(problem: ProblemError, options: RequestOptions): boolean {
  if (options.background === true) return false;
  const inFlight = problem.status === 409 && problem.retryAfterMs !== undefined;
  if (problem.status !== 429 && problem.status !== 503 && !inFlight) return false;
  if ((problem.retryAfterMs ?? 0) > MAX_WAIT_MS) return false;
  const { method = "GET", headers = {} } = options;
  return method === "GET" || method === "DELETE" || "Idempotency-Key" in headers;
}

/** Await a body. It can break off, or exceed the deadline, after the head of the response has arrived. */
async function readBody<Body>(body: Promise<Body>): Promise<Body> {
  try {
    return await body;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw UnreachableError.from(error);
  }
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    const abort = (): void => {
      clearTimeout(timer);
      reject(new DOMException("The request was aborted.", "AbortError"));
    };
    signal?.addEventListener("abort", abort, { once: true });
  });
}
